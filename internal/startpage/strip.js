'use strict'

// A strip draws the journal: a cell for each record, and the cursors on it.
// It draws only while something moves.
class Strip {
  #context
  #colors = {}
  #shown = { total: 0, pitch: 0, cursors: new Map() }
  #fresh = [] // runs of cells that came lately: {from, to, at}
  #frame = 0
  #still = matchMedia('(prefers-reduced-motion: reduce)')

  // cursors: {label, color, above, offset(): string or null}
  constructor(canvas, cursors) {
    this.canvas = canvas
    this.cursors = cursors
    this.journal = new Journal()
    this.#context = canvas.getContext('2d')
    const restyle = () => {
      this.#restyle()
      this.update()
    }
    new ResizeObserver(restyle).observe(canvas)
    matchMedia('(prefers-color-scheme: dark)').addEventListener('change', restyle)
  }

  reset(journal) {
    this.journal = journal
    this.#shown = { total: 0, pitch: 0, cursors: new Map() }
    this.#fresh = []
    this.update()
  }

  update() {
    this.#frame ||= requestAnimationFrame((now) => this.#draw(now))
  }

  #restyle() {
    const style = getComputedStyle(this.canvas)
    for (const name of ['ink', 'soft', 'line', 'sse', 'poll', 'sheet']) this.#colors[name] = style.getPropertyValue('--' + name).trim()
    this.#colors.font = '600 12px ' + style.getPropertyValue('--mono')
    const scale = devicePixelRatio || 1
    this.canvas.width = Math.round(this.canvas.clientWidth * scale)
    this.canvas.height = Math.round(this.canvas.clientHeight * scale)
  }

  // ease moves a shown number towards its goal and says whether it is there.
  #ease(key, goal, into = this.#shown) {
    const gap = goal - into[key]
    const there = this.#still.matches || Math.abs(gap) < 0.02
    into[key] = there ? goal : into[key] + gap * 0.16
    return there
  }

  #draw(now) {
    this.#frame = 0
    const scale = devicePixelRatio || 1
    const width = this.canvas.width / scale
    const height = this.canvas.height / scale
    if (!width) return
    const total = this.journal.total
    const places = this.cursors.map((c) => ({ ...c, at: c.offset() })).filter((c) => c.at !== null)
    for (const p of places) p.goal = this.journal.position(p.at)
    const lag = Math.max(0, ...places.map((p) => total - p.goal))
    const room = Math.min(120, width * 0.16)
    const pitch = Math.max(2, Math.min(11, (width - room - 40) / (lag + 4)))
    const shown = this.#shown
    if (shown.pitch === 0 || total - shown.total > 400 || total < shown.total) Object.assign(shown, { total, pitch: shown.pitch || pitch })
    if (total > (this.#fresh.at(-1)?.to ?? 0)) this.#fresh.push({ from: this.#fresh.at(-1)?.to ?? 0, to: total, at: now })
    while (this.#fresh.length > 1 && now - this.#fresh[0].at > 900) this.#fresh.shift()
    let still = this.#ease('total', total)
    still = this.#ease('pitch', pitch) && still
    for (const p of places) {
      const seen = shown.cursors.get(p.label) ?? { at: p.goal }
      shown.cursors.set(p.label, seen)
      if (p.goal - seen.at > 400) seen.at = p.goal
      still = this.#ease('at', p.goal, seen) && still
    }
    this.#context.setTransform(scale, 0, 0, scale, 0, 0)
    this.#context.clearRect(0, 0, width, height)
    // A log that is shorter than the strip begins at the left; a longer one scrolls.
    const start = Math.min(24, width - room - shown.total * shown.pitch)
    const x = (i) => start + i * shown.pitch
    still = this.#cells(x, { total, now, width, middle: height / 2 }) && still
    for (const p of places) this.#cursor(p, x(shown.cursors.get(p.label).at), width, height / 2)
    if (!still) this.update()
  }

  #cells(x, { total, now, width, middle }) {
    const c = this.#context
    const pitch = this.#shown.pitch
    const w = Math.max(1, pitch - (pitch > 5 ? 3 : 1))
    const [top, h] = [middle - 15, 30]
    const sse = this.#shown.cursors.get('SSE')?.at ?? 0
    const first = Math.max(0, Math.floor(-x(0) / pitch))
    let still = true
    for (let i = first; i < total; i++) {
      const left = x(i)
      const came = this.#fresh.find((f) => i >= f.from && i < f.to)
      const glow = this.#still.matches || !came ? 0 : 1 - (now - came.at) / 900
      c.globalAlpha = x(0) > 0 ? 1 : Math.min(1, Math.max(0.08, left / (width * 0.22)))
      if (i + 0.5 > sse) {
        c.strokeStyle = this.#colors.sse
        c.lineWidth = 1
        c.strokeRect(left + 0.5, top + 0.5, Math.max(0.5, w - 1), h - 1)
      } else {
        c.fillStyle = this.#colors.ink
        c.fillRect(left, top, w, h)
        if (glow > 0) {
          still = false
          c.globalAlpha *= glow
          c.fillStyle = this.#colors.sse
          c.fillRect(left, top, w, h)
        }
      }
    }
    c.globalAlpha = 1
    c.lineWidth = 1
    c.strokeStyle = this.#colors.line
    for (let left = x(Math.max(total, this.#shown.total)); left < width; left += pitch) {
      c.strokeRect(left + 0.5, top + 0.5, Math.max(0.5, w - 1), h - 1)
    }
    return still
  }

  #cursor(p, at, width, middle) {
    const c = this.#context
    const x = Math.max(6, Math.min(width - 6, at - 1.5))
    const side = p.above ? -1 : 1
    c.fillStyle = c.strokeStyle = this.#colors[p.color]
    c.lineWidth = 2
    c.beginPath()
    c.moveTo(x, middle - side * 15)
    c.lineTo(x, middle + side * 24)
    c.stroke()
    c.beginPath()
    c.moveTo(x, middle + side * 20)
    c.lineTo(x - 5, middle + side * 28)
    c.lineTo(x + 5, middle + side * 28)
    c.fill()
    c.font = this.#colors.font
    c.textBaseline = 'middle'
    const text = at < 6 ? '\u2190 ' + p.label : p.label
    const half = c.measureText(text).width / 2
    c.fillText(text, Math.max(2, Math.min(width - 2 * half - 2, x - half)), middle + side * 38)
  }
}
