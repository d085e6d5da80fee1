// Sequence is what a reader of a channel knows from the numbers in its records
// alone: each publisher (s) counts its records (n) from 1 without holes. The
// first record of a publisher that is seen sets where its numbers begin. Pure.
export class Sequence {
  #last = new Map()
  records = 0
  missing = 0 // numbers that were skipped
  twice = 0 // numbers that came again, or late

  // take counts a record, and returns whether it is a new one.
  take({ s, n }) {
    this.records++
    const last = this.#last.get(s)
    if (last === undefined && this.#last.size >= 256) this.#last.clear() // publishers come and go
    if (last !== undefined && n <= last) {
      this.twice++
      return false
    }
    if (last !== undefined) this.missing += n - last - 1
    this.#last.set(s, n)
    return true
  }

  get gaps() {
    return this.missing
  }
}
