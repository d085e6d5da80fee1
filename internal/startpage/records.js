'use strict'

const element = (name, className, text) => {
  const e = document.createElement(name)
  if (className) e.className = className
  if (text !== undefined) e.textContent = text
  return e
}

// short is an offset's end: enough to tell neighbours apart.
const short = (offset) => '\u2026' + offset.slice(-6)

// A record list shows the newest records and notes, newest first. What comes
// within a frame is rendered at once, and never more than it keeps.
class RecordList {
  #waiting = []
  #frame = 0

  constructor(list, keep) {
    Object.assign(this, { list, keep })
  }

  // add takes rows, oldest first: {text, offset, tag} or {note, kind}.
  add(rows) {
    this.#waiting.push(...rows.slice(-this.keep))
    if (this.#waiting.length > 2 * this.keep) this.#waiting = this.#waiting.slice(-this.keep)
    this.#frame ||= requestAnimationFrame(() => this.#render())
  }

  clear() {
    this.#waiting = []
    this.list.replaceChildren()
  }

  #render() {
    this.#frame = 0
    const rows = this.#waiting.slice(-this.keep).reverse()
    this.#waiting = []
    this.list.prepend(...rows.map((row) => (row.note ? this.#note(row) : this.#record(row))))
    while (this.list.childElementCount > this.keep) this.list.lastElementChild.remove()
  }

  #record({ text, offset, tag }) {
    const row = element('li', 'record')
    const place = element('span', 'place', offset ? short(offset) : '\u2502')
    place.title = offset ?? 'in the same event as the record above'
    row.append(place, element('span', 'text', text))
    if (tag) row.append(element('span', 'tag', tag))
    return row
  }

  #note({ note, kind }) {
    return element('li', 'note ' + kind, note)
  }
}

// describe turns a record of any channel into a row. Records of this demo are
// {text, page, n}; everything else is shown as it is.
function describe(record, page) {
  if (typeof record === 'string') return { text: record }
  if (record !== null && typeof record === 'object' && typeof record.text === 'string' && typeof record.page === 'string') {
    return record.page === page ? { text: record.text, tag: 'this page', own: record.n } : { text: record.text, tag: 'another page' }
  }
  return { text: JSON.stringify(record) }
}

// What a reset says, for who has not read PROTOCOL.md.
function explain({ reason, missed }) {
  switch (reason) {
    case 'trimmed':
      return `Reset: retention has dropped ${missed.toLocaleString('en')} records that this cursor had not read. It goes on at the oldest that is left.`
    case 'ahead':
      return 'Reset: the log ends before the place this cursor had reached. It goes on at the end of the log.'
    case 'epoch':
      return 'Reset: this is a new log under the old name; the one this cursor was reading is gone. It goes on at its beginning.'
    case 'deleted':
      return 'Reset: the channel was deleted.'
  }
  return 'Reset: ' + reason
}
