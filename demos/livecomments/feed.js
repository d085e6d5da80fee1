// Feed shows comments at a rate that a person can read, and says how many more
// there were. Comments of this page are always shown; of the others, one in each
// turn, chosen at random from all that came since the last; people's before made-up
// ones'.
import { make, text, calm } from '/demos/shared/dom.js'
import * as format from '/demos/shared/format.js'
import { Rate } from '/demos/shared/meter.js'

const most = 60 // comments on the page
const reading = 4000 // ms that a comment stays in view, at least
const least = 333 // ms between two

export class Feed {
  #list
  #parts
  #rate = new Rate(3000)
  #all = 0
  #seen = [] // times at which comments were shown, of the last seconds
  #candidate = null // chosen from those that came since the last turn
  #came = 0
  #last = 0 // when a comment was shown
  #following = true

  constructor(list, parts) {
    this.#list = list
    this.#parts = parts
    new ResizeObserver(() => this.#following && (list.scrollTop = list.scrollHeight)).observe(list)
    list.addEventListener('scroll', () => this.#scrolled(), { passive: true })
    parts.newest.addEventListener('click', () => this.#toEnd())
    setInterval(() => this.#turn(), 100)
    setInterval(() => this.#count(), 500)
  }

  // add takes a comment that came just now. shown says that it stands in the
  // list already.
  add(comment, { shown = false } = {}) {
    this.#all++
    this.#rate.add(1, Date.now())
    if (shown) return
    this.#came++
    if (comment.person) {
      if (this.#candidate?.person) this.#show(this.#candidate)
      this.#candidate = comment
    } else if (!this.#candidate?.person && Math.random() * this.#came < 1) {
      this.#candidate = comment
    }
  }

  // old shows comments from before the page came, without counting them.
  old(comments) {
    this.#put(comments.slice(-8).map((c) => this.#row(c)))
  }

  // own shows a comment of this page before the server has it, and returns what
  // changes its fate.
  own(comment) {
    const fate = make('span', { class: 'fate' }, 'sending')
    const row = this.#row(comment, fate)
    row.classList.add('own')
    row.dataset.fate = 'pending'
    this.#put([row])
    this.#toEnd()
    return (state, words) => {
      row.dataset.fate = state
      text(fate, words)
    }
  }

  #turn() {
    const now = Date.now()
    if (!this.#candidate || document.hidden || !this.#following || now - this.#last < this.#pause()) return
    const comment = this.#candidate
    this.#candidate = null
    this.#came = 0
    this.#last = now
    this.#show(comment)
  }

  #show(comment) {
    this.#seen.push(Date.now())
    this.#put([this.#row(comment)])
  }

  // pause lets few comments stay as long as many do, and twice as long for who
  // asked for calm.
  #pause() {
    const inView = Math.max(1, this.#list.clientHeight / 48)
    return Math.max(least, reading / inView) * (calm() ? 2 : 1)
  }

  #row({ name, text: words }, ...extra) {
    return make(
      'li',
      { class: 'comment' },
      make('span', { class: `who c${hash(name) % 8}`, 'aria-hidden': 'true' }, initial(name)),
      make('span', { class: 'name' }, name, ...extra),
      make('span', { class: 'text' }, words),
    )
  }

  #put(rows) {
    requestAnimationFrame(() => {
      this.#parts.empty.hidden = true
      this.#list.append(...rows)
      while (this.#list.childElementCount > most) this.#list.firstElementChild.remove()
      if (this.#following) this.#list.scrollTop = this.#list.scrollHeight
    })
  }

  #scrolled() {
    const end = this.#list.scrollHeight - this.#list.clientHeight - this.#list.scrollTop < 40
    if (end === this.#following) return
    this.#following = end
    this.#parts.newest.hidden = end
    text(this.#parts.newest, 'Paused. Go to the newest')
  }

  #toEnd() {
    this.#following = true
    this.#parts.newest.hidden = true
    this.#list.scrollTop = this.#list.scrollHeight
  }

  get rate() {
    return this.#rate.per(Date.now())
  }

  #count() {
    const now = Date.now()
    const rate = this.rate
    this.#seen = this.#seen.filter((time) => now - time < 3000)
    const shown = this.#seen.length / 3
    const more = Math.max(0, Math.round(rate - shown))
    text(this.#parts.rate, format.rate(rate))
    this.#parts.moreNow.replaceChildren(...(this.#all ? [make('b', {}, `+ ${format.count(more)} more`), ' a second'] : ['']))
    text(this.#parts.moreAll, this.#all ? `${format.short(this.#all)} since you came` : '')
  }
}

const initial = (name) => [...name.replace(/^[^\p{L}\p{N}]+/u, '')][0]?.toUpperCase() ?? '?'

function hash(words) {
  let h = 0
  for (let i = 0; i < words.length; i++) h = (h * 31 + words.charCodeAt(i)) >>> 0
  return h
}
