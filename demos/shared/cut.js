// cuttable returns fetch and WebSocket for connect() whose connections can be cut
// from the page, as a tunnel or a dead access point cuts them: the client is not
// asked and finds out by itself.
export function cuttable() {
  const sockets = new Set()
  const requests = new Set() // under way, and streams that may have ended: to abort one that has does nothing

  return {
    WebSocket: class extends WebSocket {
      constructor(...args) {
        super(...args)
        sockets.add(this)
        this.addEventListener('close', () => sockets.delete(this))
      }
    },

    fetch(input, init = {}) {
      const request = new AbortController()
      if (requests.size >= 64) requests.delete(requests.values().next().value)
      requests.add(request)
      const signal = init.signal ? AbortSignal.any([init.signal, request.signal]) : request.signal
      const answer = fetch(input, { ...init, signal })
      const ended = () => requests.delete(request)
      answer.then(({ headers }) => headers.get('content-type')?.startsWith('text/event-stream') || ended(), ended)
      return answer
    },

    // cut ends all connections, and returns how many were under way at most.
    cut() {
      for (const socket of sockets) socket.close(4900, 'cut')
      for (const request of requests) request.abort(new TypeError('the connection was cut'))
      requests.clear()
    },
  }
}
