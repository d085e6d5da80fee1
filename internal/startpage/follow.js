'use strict'

const streamURL = (channel) => '/v1/stream/' + channel.split('/').map(encodeURIComponent).join('/')
const isJSON = (type) => /[/+]json\b/i.test(type)
const isText = (type) => /^text\//i.test(type)
const pause = (ms) => new Promise((done) => setTimeout(done, ms))

// A refusal is an answer of the server that asking again will not change.
class Refusal extends Error {
  constructor(status, { message, hint }) {
    super(message || 'the server answered ' + status)
    this.status = status
    this.hint = hint || ''
  }
}

// ask is fetch that throws a Refusal for 4xx, and an Error for what may pass.
async function ask(url, init) {
  const answer = await fetch(url, { cache: 'no-store', ...init })
  if (answer.ok) return answer
  if (answer.status >= 500 || answer.status === 429) throw new Error('the server answered ' + answer.status)
  throw new Refusal(answer.status, await answer.json().catch(() => ({})))
}

// ensure creates the channel if it is not there, and returns its content type.
async function ensure(channel, type) {
  const url = streamURL(channel)
  try {
    const answer = await ask(url, { method: 'PUT', headers: { 'Content-Type': type } })
    return answer.headers.get('Content-Type') || type
  } catch (err) {
    if (err.status !== 409) throw err
    return (await ask(url, { method: 'HEAD' })).headers.get('Content-Type') || type
  }
}

// split takes a run apart into records. In a text channel a line is taken for one.
function split(data, type) {
  if (data === '') return []
  if (isJSON(type)) return JSON.parse(data)
  if (isText(type)) return data.replace(/\n$/, '').split('\n')
  return ['(binary, base64) ' + data]
}

// An SSEReader is the browser's own EventSource and what is left to do beside
// it: create the channel, begin at the last records, tell what happens.
// EventSource reconnects by itself with its last id; only where it gives up,
// because it got an answer that is not a stream, a new one is opened, at the
// same offset.
class SSEReader {
  #source = null
  #turn = 0
  #dropped = null // {at, records, events, since} from a drop until up to date again
  #delay = 500

  // on: state(name, detail), records(list, offset), reset(reset), resumed(dropped), upToDate(bool)
  constructor(channel, type, on) {
    Object.assign(this, { channel, type, on, offset: null })
  }

  start() {
    this.#open(++this.#turn)
  }

  stop() {
    this.#end()
    this.#drop()
    this.on.state('off')
  }

  // #end leaves no source and makes what is under way stop.
  #end() {
    this.#turn++
    this.#source?.close()
    this.#source = null
  }

  #drop() {
    if (this.offset !== null) this.#dropped ??= { at: this.offset, records: 0, events: 0, since: 0 }
  }

  async #open(turn) {
    this.on.state(this.offset === null ? 'connecting' : 'reconnecting')
    try {
      this.type = await ensure(this.channel, this.type)
    } catch (err) {
      if (turn !== this.#turn) return
      if (err instanceof Refusal) this.on.state('refused', err)
      else this.#again(turn)
      return
    }
    if (turn !== this.#turn) return
    const from = this.offset === null ? 'tail_records=50' : 'offset=' + this.offset
    const source = new EventSource(`${streamURL(this.channel)}?${from}&live=sse`)
    this.#source = source
    source.addEventListener('open', () => this.#opened())
    source.addEventListener('error', () => {
      this.#drop()
      this.on.state('reconnecting')
      if (source.readyState === EventSource.CLOSED) this.#again(turn)
    })
    source.addEventListener('data', (event) => this.#data(event))
    source.addEventListener('control', (event) => this.#control(event))
    source.addEventListener('reset', (event) => this.#reset(event))
  }

  async #again(turn) {
    this.on.state('reconnecting')
    await pause(this.#delay * (0.5 + Math.random()))
    this.#delay = Math.min(4000, this.#delay * 2)
    if (turn === this.#turn) this.#open(turn)
  }

  #opened() {
    this.#delay = 500
    if (this.#dropped) this.#dropped.since = performance.now()
    this.on.state('live')
  }

  #data(event) {
    const records = split(event.data, this.type)
    if (this.#dropped) {
      this.#dropped.records += records.length
      this.#dropped.events++
    }
    this.on.records(records, event.lastEventId, this.offset !== null && event.lastEventId <= this.offset)
    this.offset = event.lastEventId
  }

  #control(event) {
    const control = JSON.parse(event.data)
    this.offset = control.streamNextOffset
    this.on.upToDate(control.upToDate === true)
    if (control.upToDate && this.#dropped) {
      this.on.resumed({ ...this.#dropped, ms: performance.now() - this.#dropped.since })
      this.#dropped = null
    }
    if (control.streamClosed) {
      this.#end() // there is nothing more to come; EventSource would ask for ever
      this.on.state('closed')
    }
  }

  #reset(event) {
    const reset = JSON.parse(event.data)
    this.on.reset(reset)
    this.#dropped = null
    if (reset.reason !== 'deleted') {
      this.offset = event.lastEventId
      return
    }
    this.offset = null
    this.#end()
    this.on.state('deleted')
  }
}

// A LongPollReader is a second cursor on the same log, over the other transport.
class LongPollReader {
  #stop = null

  // on: records(n, from, to), changed()
  constructor(channel, type, on) {
    Object.assign(this, { channel, type, on, offset: null, count: 0, requests: 0, state: 'off' })
  }

  start() {
    this.#stop = new AbortController()
    this.#run(this.#stop.signal)
  }

  stop() {
    this.#stop?.abort()
    this.#set('off')
  }

  #set(state) {
    this.state = state
    this.on.changed()
  }

  async #run(signal) {
    let cacheToken = ''
    while (!signal.aborted) {
      const from = this.offset === null ? 'tail_records=50' : 'offset=' + this.offset
      const token = cacheToken && '&cursor=' + cacheToken
      this.#set('waiting')
      try {
        const answer = await ask(`${streamURL(this.channel)}?${from}&live=long-poll${token}`, { signal })
        const text = await answer.text()
        if (signal.aborted) return
        this.requests++
        cacheToken = answer.headers.get('Stream-Cursor') ?? ''
        this.#took(split(text, this.type).length, answer.headers.get('Stream-Next-Offset'))
        if (answer.headers.get('Stream-Closed') === 'true') return this.#set('closed')
      } catch (err) {
        if (signal.aborted) return
        if (err.status === 410 || err.status === 404) this.offset = null // a reset: begin anew
        else if (err instanceof Refusal) return this.#set('refused')
        this.#set('asking again')
        await pause(500 + Math.random() * 1000)
      }
    }
  }

  #took(n, next) {
    const from = this.offset ?? ''
    this.offset = next
    this.count += n
    this.on.records(n, from, next)
  }
}
