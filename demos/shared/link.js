// Link is the card that says how a page is connected and lets people change it:
// transport and budget, lag from publish to here, what comes in a second, and
// what the numbers in the records say was missed.
//
//   const link = new Link($('link'), { client, budget: 250, setBudget: (ms) => … })
//   link.took(lags, sequence)   // after each batch
//   link.draw()                 // a few times a second
import { make, text } from './dom.js'
import * as format from './format.js'
import { Rate, Sample } from './meter.js'

export const transports = [
  ['auto', 'Auto'],
  ['ws', 'WebSocket'],
  ['sse', 'SSE'],
  ['long-poll', 'Long poll'],
  ['poll', 'Poll'],
]
const names = Object.fromEntries(transports)

export const budgets = [
  [0, 'none'],
  [100, '100 ms'],
  [250, '250 ms'],
  [1000, '1 s'],
  [3000, '3 s'],
]

const states = {
  idle: 'Idle',
  connecting: 'Connecting',
  open: 'Live',
  waiting: 'Reconnecting',
  offline: 'Offline',
  closed: 'Closed',
}

export class Link {
  #client
  #chip
  #parts = {}
  #lag = new Sample()
  #rates = { bytesIn: new Rate(), records: new Rate(), batches: new Rate() }
  #seen = { bytesIn: 0, records: 0, batches: 0 }
  #missing = 0
  #twice = 0
  #breaks = 0 // times that the connection was lost
  #whole = false
  #budget

  constructor(root, { client, chip, budget, setBudget }) {
    this.#client = client
    this.#chip = chip
    this.#budget = budget
    root.append(
      make('header', {}, make('h2', { id: 'link-title' }, 'Your connection'), (this.#parts.use = make('p', { class: 'quiet' }))),
      make(
        'div',
        { class: 'in stack' },
        segments('Transport', 'transport', transports, 'auto', (value) => (client.transport = value)),
        segments('Latency budget', 'budget', budgets, budget, (value) => {
          this.#budget = Number(value)
          setBudget(this.#budget)
        }, (this.#parts.force = make('output'))),
        (this.#parts.advice = make('p', { class: 'quiet advice' })),
        make(
          'dl',
          { class: 'tiles' },
          this.#tile('p50', 'Lag, median'),
          this.#tile('p99', 'Lag, 99th'),
          this.#tile('missed', 'Missed'),
          this.#tile('bytesIn', 'Received'),
          this.#tile('records', 'Records'),
          this.#tile('batches', 'Batches'),
        ),
        make('p', { class: 'quiet' }, 'Lag is from the time in each record to its arrival here, over ten seconds. Missed is counted from the numbers in the records.'),
      ),
    )
    client.addEventListener('status', () => {
      const { state } = client.status
      if (this.#whole && (state === 'waiting' || state === 'offline')) this.#breaks++
      this.#whole = state === 'open' || (this.#whole && state === 'connecting')
      this.draw()
    })
    this.draw()
  }

  #tile(name, title) {
    const value = make('b', {}, '–')
    const unit = make('span')
    const box = make('div', {}, make('dt', {}, title), make('dd', {}, value, unit))
    this.#parts[name] = { box, value, unit }
    return box
  }

  // took notes how late records came (milliseconds), and where counting stands.
  took(lags, sequences) {
    const now = Date.now()
    for (const lag of lags) this.#lag.add(lag, now)
    this.#missing = sequences.reduce((sum, s) => sum + s.missing, 0)
    this.#twice = sequences.reduce((sum, s) => sum + s.twice, 0)
  }

  get gaps() {
    return this.#missing
  }

  draw() {
    const now = Date.now()
    const status = this.#client.status
    for (const [name, rate] of Object.entries(this.#rates)) {
      const total = status[name] ?? 0
      if (total > this.#seen[name]) rate.add(total - this.#seen[name], now)
      this.#seen[name] = total
    }
    const [p50, p99] = this.#lag.percentiles([0.5, 0.99], now)
    this.#set('p50', ...format.milliseconds(p50))
    this.#set('p99', ...format.milliseconds(p99))
    this.#set('bytesIn', ...format.bytes(this.#rates.bytesIn.per(now)))
    this.#set('records', format.rate(this.#rates.records.per(now)), '/s')
    this.#set('batches', format.rate(this.#rates.batches.per(now)), '/s')
    const { box } = this.#parts.missed
    this.#set('missed', format.count(this.#missing), this.#missing === 1 ? 'gap' : this.#twice ? `gaps, ${format.count(this.#twice)} twice` : 'gaps')
    box.className = this.#missing + this.#twice ? 'fault' : 'ok'

    const inUse = names[status.transport] ?? 'none yet'
    const word = states[status.state] ?? status.state
    text(this.#parts.use, `${word}${status.state === 'open' ? ` over ${inUse}` : ''}${this.#breaks ? `, ${format.plural(this.#breaks, 'reconnect')}` : ''}`)
    text(this.#chip, status.state === 'open' ? inUse : word)
    this.#chip.dataset.state = status.state
    text(this.#parts.advice, advice(this.#budget, status))
  }

  #set(name, value, unit = '') {
    text(this.#parts[name].value, value)
    text(this.#parts[name].unit, unit)
  }

  // inForce shows the budget that the server reported.
  inForce(ms) {
    text(this.#parts.force, ms === undefined || ms === null ? '' : ms === 0 ? 'as soon as possible' : `at most ${format.milliseconds(ms).join(' ')} late`)
  }
}

// advice says in words which transport the server advises.
function advice(budget, { advice: advised, state }) {
  if (state === 'offline') return 'This device is offline. Nothing is lost: the client goes on at its offset when the network is back.'
  if (advised?.transport === 'poll' || (!advised && budget >= 2000)) {
    const every = advised?.interval ? ` every ${format.milliseconds(advised.interval).join(' ')}` : ''
    return `With this budget polling${every} is enough, the server advises: no connection is kept, and caches answer.`
  }
  if (budget === 0) return 'Every publish is sent at once. A budget lets the server put many into one write.'
  if (advised?.transport) return `The server collects for up to ${format.milliseconds(budget).join(' ')}, and advises ${names[advised.transport] ?? advised.transport}.`
  return `The server collects for up to ${format.milliseconds(budget).join(' ')} and sends all of it in one write.`
}

export function segments(legend, name, options, chosen, choose, aside) {
  const set = make('div', { class: 'segments' })
  for (const [value, label] of options) {
    const input = make('input', { type: 'radio', name, value: String(value), checked: value === chosen })
    input.addEventListener('change', () => choose(value))
    set.append(make('label', {}, input, make('span', {}, label)))
  }
  return make('fieldset', { class: 'labelled' }, make('legend', {}, legend, ...(aside ? [aside] : [])), set)
}
