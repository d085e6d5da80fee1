// Floats lets reactions rise over the stage. There are never more than most: of
// a storm a share is shown, and the counters have all of it.
import { calm, sharp } from '/demos/shared/dom.js'
import { image, kinds } from './icons.js'

const most = 30
const life = 3200 // ms

export class Floats {
  #canvas
  #images = Object.fromEntries(kinds.map((kind) => [kind, image(kind)]))
  #up = []
  #waiting = []
  #running = false
  #next = 0

  constructor(canvas) {
    this.#canvas = canvas
  }

  // add lets some of n reactions rise, spread over a time; own ones always.
  add(kind, n, { own = false, over = 200 } = {}) {
    if (calm() || document.hidden) return
    const now = performance.now()
    const shown = own ? Math.min(n, 6) : Math.min(Math.ceil(n / 10), 3)
    for (let i = 0; i < shown && (own || this.#up.length + this.#waiting.length < most * Math.min(1, this.#canvas.clientWidth / 900)); i++) {
      this.#waiting.push({ kind, own, at: now + Math.random() * (own ? 120 : over), x: Math.random(), size: (own ? 44 : 26) + Math.random() * 12, sway: Math.random() * 6.3, pace: 0.8 + Math.random() * 0.4 })
    }
    if (this.#running) return
    this.#running = true
    requestAnimationFrame((t) => this.#frame(t))
  }

  #frame(now) {
    const { context: c, width, height } = sharp(this.#canvas)
    c.clearRect(0, 0, width, height)
    this.#waiting = this.#waiting.filter((f) => {
      if (f.at > now) return true
      this.#up.push({ ...f, began: now })
      return false
    })
    this.#up = this.#up.filter((f) => now - f.began < life / f.pace)
    const scale = Math.min(1, Math.max(0.7, width / 900))
    for (const f of this.#up) {
      const age = ((now - f.began) / life) * f.pace
      const size = f.size * scale * (age < 0.08 ? 0.4 + age * 7.5 : 1)
      const x = width * (0.76 + f.x * 0.2) + Math.sin(f.sway + age * 7) * 13 * scale
      const y = height - 30 - age * height * 0.72
      c.globalAlpha = age > 0.65 ? (1 - age) / 0.35 : 1
      c.drawImage(this.#images[f.kind], x - size / 2, y - size / 2, size, size)
    }
    c.globalAlpha = 1
    this.#running = this.#up.length + this.#waiting.length > 0
    if (this.#running) requestAnimationFrame((t) => this.#frame(t))
  }
}
