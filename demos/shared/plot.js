// Plot draws a quantity over the last seconds into a canvas: a filled line, a few
// horizontal marks, and vertical ones for events. Points may come late and in
// bulk; each has its own time.
import { sharp, colour } from './dom.js'
import { short } from './format.js'

export class Plot {
  #canvas
  #seconds
  #points = [] // [time, value], in order of time
  #events = [] // [time, label]
  #top = 1
  #colours = null

  constructor(canvas, { seconds = 30 } = {}) {
    this.#canvas = canvas
    this.#seconds = seconds
    matchMedia('(prefers-color-scheme: dark)').addEventListener('change', () => (this.#colours = null))
  }

  add(time, value) {
    const points = this.#points
    if (points.length && time <= points.at(-1)[0]) return
    points.push([time, value])
    if (points.length > 4000) points.splice(0, 2000)
  }

  mark(time, label) {
    this.#events = [...this.#events.slice(-7), [time, label]]
  }

  // draw shows the time up to now, in which a unit of the scale keeps its size
  // unless values outgrow it.
  draw(now) {
    const { context: c, width, height } = sharp(this.#canvas)
    if (width === 0) return
    this.#colours ??= { line: colour('accent'), soft: colour('soft'), grid: colour('line'), ink: colour('ink') }
    const k = this.#colours
    const left = 40
    const bottom = height - 24
    const from = now - this.#seconds * 1000
    while (this.#points.length > 2 && this.#points[1][0] < from) this.#points.shift()
    const most = Math.max(1, ...this.#points.map(([, value]) => value))
    const step = nice(most / 4)
    this.#top += (Math.ceil((most * 1.05) / step) * step - this.#top) * 0.25
    const x = (time) => left + ((time - from) / (this.#seconds * 1000)) * (width - left)
    const y = (value) => bottom - (value / this.#top) * (bottom - 14)

    c.clearRect(0, 0, width, height)
    c.font = '12px ' + getComputedStyle(this.#canvas).fontFamily
    c.lineWidth = 1
    c.textBaseline = 'middle'
    c.textAlign = 'right'
    for (let value = 0; value <= this.#top + step / 100; value += step) {
      c.strokeStyle = k.grid
      c.beginPath()
      c.moveTo(left, Math.round(y(value)) + 0.5)
      c.lineTo(width, Math.round(y(value)) + 0.5)
      c.stroke()
      c.fillStyle = k.soft
      c.fillText(short(value), left - 8, y(value))
    }
    c.textBaseline = 'alphabetic'
    for (let back = 0; back <= this.#seconds; back += this.#seconds / 3) {
      c.textAlign = back === 0 ? 'right' : back === this.#seconds ? 'left' : 'center'
      c.fillText(back === 0 ? 'now' : `${Math.round(back)} s ago`, back === 0 ? width : x(now - back * 1000), height - 5)
    }
    this.#line(c, k, x, y, bottom, left)
    this.#marks(c, k, x, left, bottom, now)
  }

  #line(c, k, x, y, bottom, left) {
    if (this.#points.length === 0) return
    c.save()
    c.beginPath()
    c.rect(left, 0, 1e4, bottom + 1)
    c.clip()
    c.strokeStyle = c.fillStyle = k.line
    c.lineWidth = 2
    c.lineJoin = 'round'
    for (const run of runs(this.#points)) {
      c.beginPath()
      for (const [time, value] of run) c.lineTo(x(time), y(value))
      c.globalAlpha = 1
      c.stroke()
      c.lineTo(x(run.at(-1)[0]), bottom)
      c.lineTo(x(run[0][0]), bottom)
      c.globalAlpha = 0.13
      c.fill()
    }
    c.restore()
  }

  #marks(c, k, x, left, bottom, now) {
    for (const [time, label] of this.#events) {
      const at = Math.round(x(time)) + 0.5
      if (at < left || time > now) continue
      c.strokeStyle = k.ink
      c.setLineDash([3, 3])
      c.beginPath()
      c.moveTo(at, 4)
      c.lineTo(at, bottom)
      c.stroke()
      c.setLineDash([])
      c.fillStyle = k.ink
      const room = at - left > 70
      c.textAlign = room ? 'right' : 'left'
      c.fillText(label, at + (room ? -6 : 6), 14)
    }
  }
}

// runs parts points where nothing was known for a while: no line is drawn there.
function runs(points) {
  const parts = []
  points.forEach((point, i) => {
    if (i === 0 || point[0] - points[i - 1][0] > 3000) parts.push([])
    parts.at(-1).push(point)
  })
  return parts
}

// nice rounds up to 1, 2 or 5 times a power of ten.
function nice(value) {
  const power = 10 ** Math.floor(Math.log10(Math.max(value, 1)))
  return [1, 2, 5, 10].map((n) => n * power).find((n) => n >= value)
}
