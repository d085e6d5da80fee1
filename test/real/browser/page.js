// Runs in each page before anything else. The records of a channel are { n }, counted
// from 0: what is not the next one was lost, came twice, or out of order.

window.seen = {} // by channel: the number of the next record
window.wrong = []
window.went = [] // transports that served, in turn

function take(channel, records) {
  for (const { n } of records) {
    const next = window.seen[channel] ?? 0
    if (n !== next) window.wrong.push(`${channel}: record ${n} came, not ${next}`)
    window.seen[channel] = n + 1
  }
}

/** Follows a channel by the browser's own means. */
window.listen = (channel) => {
  const source = new EventSource(`/v1/stream/${channel}?offset=-1&live=sse`)
  source.addEventListener("data", ({ data }) => take(channel, JSON.parse(data)))
  source.onopen = () => window.went.push("open")
  window.source = source
}

/** Follows channels with the client. */
window.watch = async (channels, options) => {
  const { connect } = await import("/twohop.js")
  const client = (window.client = connect(options))
  client.addEventListener("status", () => {
    const { state, transport } = client.status
    if (state === "open" && window.went.at(-1) !== transport) window.went.push(transport)
  })
  for (const channel of channels) {
    const onReset = ({ reason }) => window.wrong.push(`${channel}: reset: ${reason}`)
    const follower = client.follow(channel, { offset: "-1", onReset, onBatch: (b) => take(channel, b.records) })
    follower.done.catch((e) => window.wrong.push(`${channel}: ${e}`))
  }
}

/** Publishes records that the page follows too, without an end. */
window.write = async (channel) => {
  window.written = 0
  try {
    while (!window.enough) {
      await window.client.publish(channel, { n: window.written })
      window.written++
      await new Promise((done) => setTimeout(done, 20))
    }
    window.rested = true
  } catch (e) {
    window.wrong.push(`publish: ${e}`)
  }
}

/** What a failed test wants to know. */
window.story = () => {
  const { status } = window.client ?? {}
  return JSON.stringify({ went: window.went, seen: window.seen, status, lastError: String(status?.lastError), onLine: navigator.onLine })
}
