// What happened within the last seconds. Pure: times are given, in milliseconds.

// Rate adds up amounts over a sliding window.
export class Rate {
  #window
  #slots = new Map() // amounts by tenth of a second
  #first = null

  constructor(window = 4000) {
    this.#window = window
  }

  add(amount, now) {
    this.#first ??= now
    const slot = Math.floor(now / 100)
    this.#slots.set(slot, (this.#slots.get(slot) ?? 0) + amount)
  }

  // per second, over the window or the time since the first amount
  per(now) {
    let sum = 0
    for (const [slot, amount] of this.#slots) {
      if (slot * 100 < now - this.#window) this.#slots.delete(slot)
      else sum += amount
    }
    if (this.#first === null) return 0
    return sum / (Math.min(this.#window, Math.max(1000, now - this.#first)) / 1000)
  }
}

// Sample keeps the newest values of a window for percentiles.
export class Sample {
  #window
  #most
  #values = [] // [time, value], oldest first

  constructor(window = 10_000, most = 4000) {
    this.#window = window
    this.#most = most
  }

  add(value, now) {
    this.#values.push([now, value])
    if (this.#values.length > this.#most * 2) this.#values.splice(0, this.#values.length - this.#most)
  }

  // percentiles returns the value at each of the shares, or null without values
  percentiles(shares, now) {
    const from = this.#values.findIndex(([time]) => time >= now - this.#window)
    this.#values.splice(0, from < 0 ? this.#values.length : from)
    const sorted = this.#values.map(([, value]) => value).sort((a, b) => a - b)
    return shares.map((share) => (sorted.length ? sorted[Math.min(sorted.length - 1, Math.floor(share * sorted.length))] : null))
  }
}
