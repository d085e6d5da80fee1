// Servers know an idempotency key for five minutes; the client's last try with it
// may take one.
const keyLasts = 210_000

// Sender publishes what people do on this page, one record after the other, each
// until it is acknowledged. A record keeps its number and its idempotency key
// through all tries, so it takes effect once; only one that was refused for good
// gives its number back. Of one that was not acknowledged as long as its key lasts
// nobody knows whether it has its number, and what comes next counts from 1 under
// a name of its own.
export class Sender {
  #client
  #channel
  #page
  #source
  #sources = 1
  #number = 0
  #now
  #queue = []
  #busy = false

  constructor(client, channel, source, now = Date.now) {
    this.#now = now
    this.#client = client
    this.#channel = channel
    this.#page = this.#source = source
  }

  // send takes the record's own members. tell hears ('pending' | 'done' |
  // 'refused' | 'unknown', what about it).
  send(members, tell = () => {}) {
    this.#queue.push({ members, tell, t: this.#now() })
    this.#run()
  }

  get waiting() {
    return this.#queue.length
  }

  async #run() {
    if (this.#busy) return
    this.#busy = true
    for (let tries = 0; this.#queue.length > 0; ) {
      const { members, tell, t } = this.#queue[0]
      const tried = (this.#queue[0].tried ??= this.#now())
      const n = this.#number + 1
      try {
        const ack = await this.#client.publish(this.#channel, { s: this.#source, n, t, ...members }, { idempotencyKey: `${this.#source}/${n}/${t}` })
        this.#number = n
        this.#queue.shift()
        tries = 0
        tell('done', { ...ack, n, took: this.#now() - t })
      } catch (error) {
        if (error.code === 'unknown_outcome' && this.#now() - tried > keyLasts) {
          this.#queue.shift()
          this.#source = `${this.#page}.${++this.#sources}`
          this.#number = tries = 0
          tell('unknown', error)
          continue
        }
        if (refused(error)) {
          this.#queue.shift()
          tries = 0
          tell('refused', error)
          continue
        }
        tell('pending', error)
        await new Promise((resolve) => setTimeout(resolve, Math.random() * Math.min(8000, 400 * 2 ** tries++)))
      }
    }
    this.#busy = false
  }
}

// refused tells what trying again does not mend.
const refused = (error) => error?.status >= 400 && error.status < 500 && ![408, 425, 429].includes(error.status)
