'use strict'

// Servers know an idempotency key for five minutes, and a request may be under way
// for a while.
const keyLasts = 270_000

// A publisher sends one publish after the other, so that they stay in order,
// and repeats one whose outcome is unknown under the same idempotency key: it
// takes effect once, however often it was sent.
class Publisher {
  #queue = []
  #busy = false
  #count = 0
  #page = Math.random().toString(36).slice(2, 8)

  // on: acknowledged(job, ack), waiting(job, reason), refused(job, refusal)
  constructor(on) {
    this.on = on
  }

  get idle() {
    return this.#queue.length === 0 && !this.#busy
  }

  // publish queues values as one request, and returns false if too much waits already.
  publish(channel, type, values, detail) {
    if (this.#queue.length >= 100) return false
    this.#queue.push({ channel, type, values, ...detail, key: `${this.#page}-${++this.#count}`, attempts: 0, begun: performance.now() })
    this.#run()
    return true
  }

  // clear forgets what was not sent yet.
  clear() {
    this.#queue = []
  }

  async #run() {
    if (this.#busy) return
    this.#busy = true
    for (let job = this.#queue.shift(); job; job = this.#queue.shift()) {
      try {
        await this.#carryOut(job)
      } catch (err) {
        this.on.refused(job, err)
      }
    }
    this.#busy = false
  }

  async #carryOut(job) {
    for (let delay = 250; ; delay = Math.min(4000, delay * 2)) {
      job.attempts++
      job.tried ??= Date.now()
      if (Date.now() - job.tried > keyLasts) throw new Refusal(0, { message: 'nobody knows whether it was published', hint: 'look whether it is there, and publish it again if not' })
      try {
        return await this.#send(job)
      } catch (err) {
        if (err.status === 404) await ensure(job.channel, job.type).catch(() => {})
        else if (err instanceof Refusal) throw err
        this.on.waiting(job, err.message)
      }
      await pause(delay * (0.5 + Math.random() / 2))
    }
  }

  async #send(job) {
    const lines = !isJSON(job.type)
    const headers = { 'Content-Type': job.type, 'Idempotency-Key': job.key }
    if (lines) headers['Stream-Records'] = 'lines'
    const body = lines ? job.values.map((v) => v + '\n').join('') : JSON.stringify(job.values)
    const sent = performance.now()
    const answer = await ask(streamURL(job.channel), { method: 'POST', headers, body })
    this.on.acknowledged(job, {
      ms: performance.now() - sent,
      offset: answer.headers.get('Stream-Next-Offset'),
      durability: answer.headers.get('Stream-Durability'),
      readers: answer.headers.get('Stream-Readers'),
      duplicate: answer.headers.get('Stream-Duplicate') === 'true',
    })
  }
}

// A tally compares what this page had acknowledged with what came back to it.
// Records that carry a number are known again one by one. The others, text and
// JSON typed by hand, count as back once the cursor has passed their offset.
class Tally {
  #awaited = new Map() // number of a record -> the offset after its publish
  #early = new Set() // came before their acknowledgement
  #plain = [] // {offset, n}
  #last = 0 // the highest number that came: they come in order
  #passed = ''

  constructor() {
    this.acknowledged = this.arrived = this.missing = this.twice = 0
  }

  acknowledge(numbers, n, offset) {
    this.acknowledged += n
    for (const number of numbers) if (!this.#early.delete(number)) this.#awaited.set(number, offset)
    if (n > numbers.length) this.#plain.push({ offset, n: n - numbers.length })
    this.#settle()
  }

  arrive(number) {
    if (number <= this.#last) {
      this.twice++
      return
    }
    this.#last = number
    this.arrived++
    if (!this.#awaited.delete(number)) this.#early.add(number)
  }

  // pass says that the cursor has passed an offset: a number that was to come
  // before it is missing.
  pass(offset) {
    this.#passed = offset
    for (const [number, end] of this.#awaited) {
      if (end > offset) break
      this.#awaited.delete(number)
      this.missing++
    }
    this.#settle()
  }

  #settle() {
    while (this.#plain.length > 0 && this.#plain[0].offset <= this.#passed) this.arrived += this.#plain.shift().n
  }

  // forgive is for a reset, which tells that records will not come.
  forgive() {
    this.#awaited.clear()
    this.#plain = []
  }
}
