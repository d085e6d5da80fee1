'use strict'

// A journal is what this page knows of the log: runs of records, each with the
// offset after it. It learns of a run when the SSE cursor reads it, when a
// publish of this page is acknowledged, or when the long poll cursor is there
// first. Offsets are opaque; that they sort as text is all that is used of them.
class Journal {
  constructor() {
    this.runs = [] // ascending: {to, n, whole}
    this.before = 0 // records of runs that were forgotten
    this.read = '' // where the SSE cursor stands
  }

  get total() {
    return this.runs.reduce((sum, run) => sum + run.n, this.before)
  }

  // position counts the known records up to an offset.
  position(offset) {
    let sum = this.before
    for (const run of this.runs) {
      if (run.to > offset) break
      sum += run.n
    }
    return sum
  }

  // advance moves the SSE cursor over n records. What was known of them from
  // elsewhere is replaced: the cursor sees all records, an acknowledgement one's own.
  advance(to, n) {
    const rest = this.#replace(this.read, to, n)
    if (rest.next?.whole) rest.next.n = Math.max(1, rest.next.n - (n - rest.replaced))
    this.read = to
    while (this.runs.length > 512) this.before += this.runs.shift().n
  }

  // acknowledge adds n records of this page that the cursor has not come to.
  acknowledge(to, n) {
    if (to > this.read && to > (this.runs.at(-1)?.to ?? '')) this.runs.push({ to, n })
  }

  // glimpse adds what another cursor read beyond this one.
  glimpse(from, to, n) {
    if (from >= this.read && to > from && n > 0) this.#replace(from, to, n, true)
  }

  #replace(from, to, n, whole = false) {
    let first = this.runs.length
    while (first > 0 && this.runs[first - 1].to > from) first--
    let last = first
    let replaced = 0
    while (last < this.runs.length && this.runs[last].to <= to) replaced += this.runs[last++].n
    this.runs.splice(first, last - first, ...(n > 0 ? [{ to, n, whole }] : []))
    return { replaced, next: this.runs[first + (n > 0 ? 1 : 0)] }
  }
}
