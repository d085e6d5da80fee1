'use strict'

const $ = (id) => document.getElementById(id)
const page = Math.random().toString(36).slice(2, 8)
const samples = ['seat C14 taken', 'bid 1,240 by paddle 7', 'car 18 at 5th and Main', 'AAPL 231.40', 'rider 31 passed km 12', 'comment: what a goal', 'seat C15 taken', 'Ana is typing']

const strip = new Strip($('strip'), [
  { label: 'SSE', color: 'sse', above: false, offset: () => view.reader?.offset ?? null },
  { label: 'long poll', color: 'poll', above: true, offset: () => (view.second?.state === 'off' ? null : (view.second?.offset ?? null)) },
])
const list = new RecordList($('records'), 200)

// view is what the page shows; render brings the page up to it once a frame.
const view = { reader: null, second: null, state: 'off', upToDate: false, records: 0, arrival: null, sent: 0, arrivals: [], frame: 0, auto: 0 }
let journal = new Journal()
let tally = new Tally()

const states = {
  off: ['disconnected', 'Disconnected. The log goes on without this cursor.'],
  connecting: ['connecting', 'Connecting.'],
  live: ['live', 'Live.'],
  reconnecting: ['reconnecting', 'The connection is gone; the browser tries again from the last offset.'],
  closed: ['closed', 'The channel is closed: all its records are read.'],
  deleted: ['deleted', 'The channel was deleted.'],
  refused: ['refused', 'The server refused.'],
}

const soon = () => {
  view.frame ||= requestAnimationFrame(render)
}

function render() {
  view.frame = 0
  const { reader } = view
  const behind = reader && reader.offset !== null ? journal.total - journal.position(reader.offset) : 0
  $('state').dataset.state = view.state
  $('toggle').textContent = view.state === 'off' ? 'Reconnect' : 'Disconnect'
  const ended = ['closed', 'deleted', 'refused'].includes(view.state)
  for (const id of ['toggle', 'second', 'hundred', 'auto', 'text', 'send']) $(id).disabled = ended
  $('again').hidden = view.state !== 'deleted'
  $('offset').textContent = reader?.offset ?? '\u2013'
  $('lag').textContent = reader?.offset ? behind.toLocaleString('en') : '\u2013'
  $('lag-word').textContent = lagWord(behind)
  $('arrival').textContent = view.arrival === null ? '\u2013' : view.arrival.toFixed(view.arrival < 10 ? 1 : 0)
  $('count').textContent = view.records.toLocaleString('en')
  for (const name of ['acknowledged', 'arrived', 'missing', 'twice']) $(name).textContent = tally[name].toLocaleString('en')
  $('tally').dataset.fault = tally.missing + tally.twice > 0
  $('auto').setAttribute('aria-pressed', view.auto !== 0)
  renderSecond()
  strip.update()
}

function lagWord(behind) {
  if (view.reader.offset === null) return ''
  if (behind > 0) return behind === 1 ? 'record behind' : 'records behind'
  if (view.state !== 'live') return 'as far as is known'
  return view.upToDate ? 'up to date' : 'catching up'
}

function renderSecond() {
  const { second } = view
  const on = second !== null && second.state !== 'off'
  $('second').setAttribute('aria-pressed', on)
  $('second-line').hidden = !on
  if (!on) return
  const same = second.offset !== null && second.offset === view.reader.offset
  $('second-line').textContent = `Long poll: ${second.state}, ${second.count.toLocaleString('en')} records in ${second.requests.toLocaleString('en')} requests, ` + (same ? 'at the same offset as SSE.' : second.offset === null ? 'not yet at an offset.' : `at ${short(second.offset)}.`)
}

// say puts one sentence where screen readers hear it.
function say(text, kind = '') {
  $('said').textContent = text
  $('said').dataset.kind = kind
}

// sentences writes a refusal's message and hint as a person would.
function sentences({ message, hint }) {
  return [message, hint].filter(Boolean).map((part) => part[0].toUpperCase() + part.slice(1).replace(/[^.!?]$/, '$&.')).join(' ')
}

function note(text, kind = '') {
  list.add([{ note: text, kind }])
}

function setState(state, detail) {
  if (view.state === state) return
  const before = view.state
  view.state = state
  view.upToDate = false
  const [word, sentence] = states[state]
  $('state-word').textContent = word
  $('state').title = sentence
  const at = view.reader?.offset
  if (state === 'refused') {
    say(sentences(detail), 'bad')
    note(sentences(detail), 'bad')
  }
  if (state === 'off') note(at ? `Disconnected at ${short(at)}. Records published now wait in the log.` : 'Disconnected.')
  if (state === 'reconnecting' && before === 'live') note(`The connection ended at ${at ? short(at) : 'the start'}. The browser reconnects by itself.`)
  if (state === 'closed') note(sentence)
  soon()
}

function took(records, offset, repeated) {
  const now = performance.now()
  const rows = records.map((r) => describe(r, page))
  for (const row of rows) if (row.own) tally.arrive(row.own)
  if (!repeated) {
    journal.advance(offset, records.length)
    view.records += records.length
  }
  tally.pass(offset)
  view.arrivals.push({ offset, now })
  if (view.arrivals.length > 64) view.arrivals.shift()
  if (rows.length > 0) rows.at(-1).offset = offset // the offset of an event is the one after its last record
  list.add(rows)
  soon()
}

function resumed({ at, records, events, ms }) {
  const what = records === 0 ? 'nothing was missed' : `${records.toLocaleString('en')} missed ${records === 1 ? 'record' : 'records'} in ${events} ${events === 1 ? 'event' : 'events'}, ${ms.toFixed(0)} ms`
  note(`Resumed at ${short(at)}: ${what}.`, 'good')
}

function wasReset(reset) {
  tally.forgive()
  journal = new Journal()
  strip.reset(journal)
  note(explain(reset), 'bad')
  say(explain(reset), 'bad')
}

function acknowledged(job, ack) {
  if (job.reader !== view.reader) return // of a channel that was left
  journal.acknowledge(ack.offset, job.values.length)
  tally.acknowledge(job.numbers, job.values.length, ack.offset)
  const came = view.arrivals.find((a) => a.offset >= ack.offset)
  if (came && job.attempts === 1) view.arrival = Math.max(0, came.now - job.begun)
  else if (!came) view.awaiting = { offset: ack.offset, begun: job.begun }
  $('ack').replaceChildren(...ackParts(job, ack))
  say(job.auto ? '' : job.values.length === 1 ? 'Acknowledged: it is in the log.' : `Acknowledged: ${job.values.length} records in one publish.`)
  soon()
}

function ackParts(job, ack) {
  const part = (name, value, title = '') => {
    const box = element('div')
    box.title = title
    box.append(element('dt', '', name), element('dd', '', value))
    return box
  }
  const worth = { disk: 'disk, synced', memory: 'memory', replicated: 'replicated' }
  return [
    part('offset', short(ack.offset), ack.offset),
    part('durability', worth[ack.durability] ?? ack.durability ?? '\u2013'),
    part('readers', ack.readers ?? '\u2013'),
    part('round trip', ack.ms.toFixed(1) + ' ms'),
    ...(job.attempts > 1 ? [part('attempts', job.attempts + (ack.duplicate ? ', once in the log' : ''))] : []),
  ]
}

const publisher = new Publisher({
  acknowledged,
  waiting: (job) => job.reader === view.reader && say(`Not acknowledged yet; asking again with the same idempotency key (attempt ${job.attempts + 1}).`, 'bad'),
  refused: (job, err) => {
    if (job.reader !== view.reader) return
    stopAuto()
    say(sentences(err), 'bad')
  },
})

// publish sends texts as records that this page will know again, or, typed as
// a JSON object, as they are.
function publish(texts, { typed = false, auto = false } = {}) {
  const type = view.reader.type
  const numbers = []
  const values = texts.map((text) => {
    if (!isJSON(type)) return text
    const own = typed && object(text)
    if (own) return own
    numbers.push(++view.sent)
    return { text, page, n: view.sent }
  })
  if (!publisher.publish(view.reader.channel, type, values, { numbers, auto, reader: view.reader })) say('Too much is waiting to be acknowledged.', 'bad')
}

function object(text) {
  try {
    const value = JSON.parse(text)
    return value !== null && typeof value === 'object' ? value : null
  } catch {
    return null
  }
}

function stopAuto() {
  clearInterval(view.auto)
  view.auto = 0
  soon()
}

// follow leaves the channel that is shown and begins with another.
function follow(channel, type) {
  view.reader?.stop()
  view.second?.stop()
  stopAuto()
  publisher.clear()
  list.clear()
  journal = new Journal()
  tally = new Tally()
  strip.reset(journal)
  Object.assign(view, { second: null, state: '', upToDate: false, records: 0, arrival: null, awaiting: null, arrivals: [] })
  $('ack').replaceChildren()
  say('')
  const on = (name, f) => (...args) => view.reader === reader && f(...args)
  const reader = new SSEReader(channel, type, {
    state: on('state', setState),
    records: on('records', (...args) => {
      took(...args)
      settle(args[1])
    }),
    reset: on('reset', wasReset),
    resumed: on('resumed', resumed),
    upToDate: on('upToDate', (upToDate) => {
      view.upToDate = upToDate
      $('type').value = isJSON(reader.type) ? 'application/json' : 'text/plain'
      soon()
    }),
  })
  view.reader = reader
  $('channel').value = channel
  document.title = `${channel} \u00b7 twohop`
  reader.start()
  soon()
}

// settle measures a publish that was acknowledged before its record came.
function settle(offset) {
  if (!view.awaiting || offset < view.awaiting.offset) return
  view.arrival = performance.now() - view.awaiting.begun
  view.awaiting = null
}

function toggleSecond() {
  const { reader, second } = view
  if (second && second.state !== 'off') {
    second.stop()
    return
  }
  view.second = new LongPollReader(reader.channel, reader.type, {
    records: (n, from, to) => {
      if (from !== '') journal.glimpse(from, to, n)
    },
    changed: soon,
  })
  view.second.start()
}

function copy(button) {
  const text = $(button.dataset.copy).textContent
  const done = () => {
    button.textContent = 'Copied'
    setTimeout(() => (button.textContent = 'Copy'), 1500)
  }
  const byHand = () => {
    getSelection().selectAllChildren($(button.dataset.copy))
    say('Selected: press Ctrl+C or Cmd+C to copy.')
  }
  if (navigator.clipboard) navigator.clipboard.writeText(text).then(done, byHand)
  else byHand() // pages without TLS that are not on this machine have no clipboard
}

// fillIn makes the commands those of this server; the command line knows the
// default address by itself.
function fillIn() {
  for (const span of document.querySelectorAll('.origin')) span.textContent = location.origin
  if (location.port === '4437' && ['127.0.0.1', 'localhost'].includes(location.hostname)) return
  for (const span of document.querySelectorAll('.server')) span.textContent = ' --server ' + location.origin
}

function listen() {
  for (const button of document.querySelectorAll('[data-copy]')) button.addEventListener('click', () => copy(button))
  $('publish-form').addEventListener('submit', (event) => {
    event.preventDefault()
    const text = $('text').value.trim()
    if (!text) return
    publish([text], { typed: true })
    $('text').value = ''
  })
  $('hundred').addEventListener('click', () => publish(Array.from({ length: 100 }, (_, i) => `${i + 1} of 100`)))
  $('auto').addEventListener('click', () => {
    if (view.auto) return stopAuto()
    view.auto = setInterval(() => publisher.idle && publish([samples[view.sent % samples.length]], { auto: true }), 100)
    soon()
  })
  $('toggle').addEventListener('click', () => (view.state === 'off' ? view.reader.start() : view.reader.stop()))
  $('again').addEventListener('click', () => follow(view.reader.channel, view.reader.type))
  $('second').addEventListener('click', toggleSecond)
  $('channel-form').addEventListener('submit', (event) => {
    event.preventDefault()
    const name = $('channel').value.trim()
    if (name) follow(name, $('type').value)
  })
  $('watch').addEventListener('click', () => follow('logs/app', 'text/plain'))
  addEventListener('pagehide', () => view.reader.stop())
  addEventListener('pageshow', (event) => event.persisted && view.reader.start())
}

fillIn()
listen()
follow('demo/hello', 'application/json')
