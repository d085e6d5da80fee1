// Stage draws the show: a concert by the harbour at night, in a world 1600 wide
// and 900 high. What stands still is drawn once for each size; lights, people and
// lanterns move to one beat, which is the same on every screen.
import { calm, sharp } from '/demos/shared/dom.js'
import { backdrop, band, person } from './scenery.js'

const beatMs = 60_000 / 104

// The light of each scene: two colours of the beams, how strong they are, how
// many hands are up, how many lanterns, whether paper falls, and who has the spot.
const lights = {
  verse: { a: [64, 120, 255], b: [200, 70, 220], beams: 0.55, wash: 0.35, hands: 0.1, lanterns: 0, paper: 0, spot: 0 },
  chorus: { a: [255, 120, 60], b: [255, 60, 130], beams: 1, wash: 0.8, hands: 0.75, lanterns: 0, paper: 1, spot: 0 },
  solo: { a: [90, 230, 255], b: [120, 90, 255], beams: 0.75, wash: 0.4, hands: 0.35, lanterns: 0, paper: 0, spot: 1 },
  hush: { a: [50, 70, 160], b: [70, 60, 150], beams: 0.16, wash: 0.14, hands: 0.04, lanterns: 0, paper: 0, spot: 0.8 },
  lanterns: { a: [255, 190, 90], b: [255, 130, 70], beams: 0.5, wash: 0.55, hands: 0.6, lanterns: 1, paper: 0, spot: 0 },
  applause: { a: [255, 215, 150], b: [255, 240, 210], beams: 0.7, wash: 0.85, hands: 0.95, lanterns: 0.35, paper: 0.25, spot: 0 },
}
const whoHasSpot = { solo: 470, hush: 800 }

const noise = (i, salt = 1) => {
  const n = Math.sin(i * 127.1 + salt * 311.7) * 43758.5453
  return n - Math.floor(n)
}
const rgba = ([r, g, b], alpha) => `rgba(${r | 0},${g | 0},${b | 0},${alpha})`
const between = (a, b, share) => a + (b - a) * share

export class Stage {
  #canvas
  #still = null // the backdrop, at the canvas's size
  #glow = glow()
  #now = structuredClone(lights.verse)
  #scene = 'verse'
  #spotAt = 800
  #energy = 1
  #paused = false
  #visible = true
  #running = false
  #last = 0
  #pace = new Pace()

  constructor(canvas) {
    this.#canvas = canvas
    new IntersectionObserver(([entry]) => {
      this.#visible = entry.isIntersecting
      this.#run()
    }).observe(canvas)
    new ResizeObserver(() => this.#draw()).observe(canvas)
    document.addEventListener('visibilitychange', () => this.#run())
    this.#run()
  }

  set(scene, energy) {
    if (!lights[scene]) return
    this.#scene = scene
    this.#energy = energy
    if (calm() || this.#paused) {
      this.#toward(1)
      this.#draw()
    }
  }

  // toggle pauses or plays, and returns whether it is paused now.
  toggle() {
    this.#paused = !this.#paused
    this.#run()
    return this.#paused
  }

  #run() {
    if (this.#running || !this.#moves()) return
    this.#running = true
    this.#last = performance.now()
    requestAnimationFrame((now) => this.#frame(now))
  }

  #moves() {
    return this.#visible && !this.#paused && !document.hidden && !calm()
  }

  #frame(now) {
    this.#running = this.#moves()
    if (!this.#running) return
    requestAnimationFrame((next) => this.#frame(next))
    if (!this.#pace.draws(now)) return
    const passed = Math.min(100, now - this.#last)
    this.#last = now
    this.#toward(1 - Math.exp(-passed / 700))
    this.#draw()
  }

  #toward(share) {
    const to = lights[this.#scene]
    for (const key of ['beams', 'wash', 'hands', 'lanterns', 'paper', 'spot']) this.#now[key] = between(this.#now[key], to[key], share)
    for (const key of ['a', 'b']) this.#now[key] = this.#now[key].map((v, i) => between(v, to[key][i], share))
    this.#spotAt = between(this.#spotAt, whoHasSpot[this.#scene] ?? this.#spotAt, share)
  }

  #draw() {
    const { context: c, width, height } = sharp(this.#canvas, this.#pace.sharpness)
    if (width === 0) return
    const scale = Math.max(width / 1600, height / 900)
    if (this.#still?.width !== this.#canvas.width || this.#still?.height !== this.#canvas.height) {
      this.#still = backdrop(this.#canvas.width, this.#canvas.height)
    }
    c.save()
    c.setTransform(1, 0, 0, 1, 0, 0)
    c.drawImage(this.#still, 0, 0)
    c.restore()
    c.translate((width - 1600 * scale) / 2, (height - 900 * scale) / 2)
    c.scale(scale, scale)
    const seconds = Date.now() / 1000
    const beat = Date.now() / beatMs
    const kick = Math.exp(-(beat % 1) * 5) * Math.min(1.2, this.#energy)
    this.#lighthouse(c, seconds)
    this.#wall(c, seconds, kick)
    this.#lanterns(c, seconds, 0)
    this.#beams(c, seconds, kick)
    this.#players(c, beat)
    this.#spot(c)
    this.#lanterns(c, seconds, 1)
    this.#crowd(c, beat, kick)
    this.#paper(c, seconds)
  }

  #lighthouse(c, seconds) {
    const turn = Math.sin(seconds * 0.7)
    c.save()
    c.globalCompositeOperation = 'lighter'
    c.globalAlpha = 0.5
    c.drawImage(this.#glow, 166, 302, 60, 60)
    c.globalAlpha = 0.1
    c.fillStyle = '#ffe9b0'
    c.beginPath()
    c.moveTo(196, 332)
    c.lineTo(196 + turn * 900, 262)
    c.lineTo(196 + turn * 900, 396)
    c.fill()
    c.restore()
  }

  // The wall of light behind the band: bars that follow the beat.
  #wall(c, seconds, kick) {
    const { a, b, wash } = this.#now
    c.save()
    c.globalCompositeOperation = 'lighter'
    for (let i = 0; i < 26; i++) {
      const x = 522 + i * 21.5
      const wave = 0.5 + 0.5 * Math.sin(seconds * 2.1 + i * 0.55) * Math.sin(seconds * 1.3 + i * 0.21)
      const high = (40 + 190 * wave) * (0.45 + 0.75 * wash) * (0.8 + 0.35 * kick)
      const share = i / 25
      c.fillStyle = rgba(a.map((v, k) => between(v, b[k], share)), 0.3 + 0.5 * wash)
      c.beginPath()
      c.roundRect(x, 545 - high, 14, high, 5)
      c.fill()
    }
    c.globalAlpha = 0.35 * wash + 0.2 * kick
    c.drawImage(this.#glow, 420, 200, 760, 520)
    c.restore()
  }

  #beams(c, seconds, kick) {
    const { a, b, beams } = this.#now
    c.save()
    c.globalCompositeOperation = 'lighter'
    for (let i = 0; i < 8; i++) {
      const x = 470 + i * 94.3
      const angle = Math.sin(seconds * (0.5 + beams * 0.5) + i * 0.8) * 0.55 + (i - 3.5) * 0.05
      const tint = i % 2 ? a : b
      const long = 760
      const light = c.createLinearGradient(x, 208, x + Math.sin(angle) * long, 208 + Math.cos(angle) * long)
      light.addColorStop(0, rgba(tint, 0.55 * beams + 0.2 * kick * beams))
      light.addColorStop(0.5, rgba(tint, 0.16 * beams))
      light.addColorStop(1, rgba(tint, 0))
      c.fillStyle = light
      c.beginPath()
      c.moveTo(x - 5, 208)
      c.lineTo(x + Math.sin(angle - 0.075) * long, 208 + Math.cos(angle - 0.075) * long)
      c.lineTo(x + Math.sin(angle + 0.075) * long, 208 + Math.cos(angle + 0.075) * long)
      c.lineTo(x + 5, 208)
      c.fill()
      c.globalAlpha = 0.5 * beams + 0.3 * kick
      c.drawImage(this.#glow, x - 26, 182, 52, 52)
      c.globalAlpha = 1
    }
    c.restore()
  }

  // Each player is drawn twice: an edge in the colour of the light, and the shape.
  #players(c, beat) {
    const edge = rgba(this.#now.b.map((v) => Math.min(255, v + 60)), 0.35 + 0.55 * this.#now.wash)
    band.forEach((player, i) => {
      const sway = Math.sin((beat + i * 0.37) * Math.PI) * (player.still ? 1.5 : 4)
      const dip = Math.abs(Math.sin(beat * Math.PI + i)) * -4 * Math.min(1, this.#energy)
      c.save()
      c.translate(player.x + sway, player.y + dip)
      c.rotate(sway * 0.0035)
      c.scale(player.size, player.size)
      c.save()
      c.translate(0, -3)
      player.draw(c, edge, beat)
      c.restore()
      c.translate(1.5, 1.5)
      player.draw(c, '#0b0a1a', beat)
      c.restore()
    })
  }

  #spot(c) {
    const { spot } = this.#now
    if (spot < 0.02) return
    const x = this.#spotAt
    c.save()
    c.globalCompositeOperation = 'lighter'
    const light = c.createLinearGradient(x, 190, x, 660)
    light.addColorStop(0, rgba([255, 246, 220], 0.42 * spot))
    light.addColorStop(1, rgba([255, 246, 220], 0.05 * spot))
    c.fillStyle = light
    c.beginPath()
    c.moveTo(between(800, x, 0.4) - 8, 190)
    c.lineTo(x - 92, 650)
    c.lineTo(x + 92, 650)
    c.lineTo(between(800, x, 0.4) + 8, 190)
    c.fill()
    c.fillStyle = rgba([255, 246, 220], 0.3 * spot)
    c.beginPath()
    c.ellipse(x, 650, 96, 15, 0, 0, 7)
    c.fill()
    c.restore()
  }

  #lanterns(c, seconds, near) {
    const n = Math.round(this.#now.lanterns * (near ? 16 : 46))
    c.save()
    for (let i = 0; i < n; i++) {
      const pace = (near ? 0.055 : 0.03) * (0.7 + noise(i, 3) * 0.6)
      const up = (seconds * pace + noise(i, 5)) % 1
      const size = near ? 30 + noise(i, 7) * 26 : 9 + noise(i, 7) * 13
      const x = noise(i + near * 60, 9) * 1600 + Math.sin(seconds * 0.4 + i) * 22
      const y = between(near ? 860 : 640, -70, up)
      const alpha = Math.min(1, up * 7) * this.#now.lanterns
      c.globalAlpha = alpha * (near ? 0.55 : 0.75)
      c.globalCompositeOperation = 'lighter'
      c.drawImage(this.#glow, x - size * 2.2, y - size * 2.2, size * 4.4, size * 4.4)
      c.globalCompositeOperation = 'source-over'
      c.globalAlpha = alpha
      const paper = c.createLinearGradient(0, y - size, 0, y + size)
      paper.addColorStop(0, '#ff8f3f')
      paper.addColorStop(0.75, '#ffc46b')
      paper.addColorStop(1, '#fff1c9')
      c.fillStyle = paper
      c.beginPath()
      c.moveTo(x - size * 0.42, y - size * 0.75)
      c.quadraticCurveTo(x, y - size * 1.15, x + size * 0.42, y - size * 0.75)
      c.quadraticCurveTo(x + size * 0.62, y, x + size * 0.36, y + size * 0.8)
      c.lineTo(x - size * 0.36, y + size * 0.8)
      c.quadraticCurveTo(x - size * 0.62, y, x - size * 0.42, y - size * 0.75)
      c.fill()
    }
    c.restore()
  }

  #crowd(c, beat, kick) {
    const { a, wash, hands, lanterns } = this.#now
    for (let row = 0; row < 3; row++) {
      const size = 0.72 + row * 0.3
      const base = 752 + row * 62
      const rim = rgba(a.map((v) => v * (0.5 - row * 0.13)), 0.55 + wash * 0.3)
      const step = 62 * size
      for (let i = -1, x = -step; x < 1660; i++, x += step) {
        const id = i + row * 97
        const hop = Math.abs(Math.sin(beat * Math.PI + noise(id) * 1.3)) * -9 * size * Math.min(1.1, this.#energy)
        const up = noise(id, 4) < hands ? Math.min(1, (hands - noise(id, 4)) * 6) : 0
        c.save()
        c.translate(x + (noise(id, 2) - 0.5) * 26, base + noise(id, 6) * 22 + hop)
        c.scale(size, size)
        person(c, row === 2 ? '#06060f' : row === 1 ? '#090a18' : '#0e0f22', rim, up, Math.sin(beat * Math.PI + id) * 0.12, noise(id, 8) < 0.5 ? 1 : -1)
        if (up && noise(id, 11) < 0.28 + lanterns * 0.4) {
          c.globalCompositeOperation = 'lighter'
          c.globalAlpha = 0.75 * up
          c.drawImage(this.#glow, -8, -96, 50, 50)
          c.globalAlpha = 1
          c.fillStyle = '#eaf2ff'
          c.fillRect(12, -80, 8, 13)
        }
        c.restore()
      }
    }
    c.save()
    c.globalCompositeOperation = 'lighter'
    c.globalAlpha = 0.12 * kick * wash
    c.drawImage(this.#glow, 200, 420, 1200, 420)
    c.restore()
  }

  #paper(c, seconds) {
    const n = Math.round(this.#now.paper * 90)
    const tints = ['#ffd166', '#ff7aa2', '#7ad7ff', '#c7a6ff', '#ffffff']
    for (let i = 0; i < n; i++) {
      const down = (seconds * (0.1 + noise(i, 21) * 0.09) + noise(i, 22)) % 1
      c.save()
      c.translate(noise(i, 23) * 1600 + Math.sin(seconds * 1.4 + i) * 34, down * 960 - 40)
      c.rotate(seconds * (1 + noise(i, 24) * 3) + i)
      c.scale(1, Math.cos(seconds * 4 + i * 1.7))
      c.globalAlpha = 0.9
      c.fillStyle = tints[i % tints.length]
      c.fillRect(-6, -4, 12, 8)
      c.restore()
    }
  }
}

// Pace finds out how much this device can draw: when frames come late, the scene
// takes fewer of them and is drawn coarser, so that the rest of the page stays
// quick. It only ever takes less.
class Pace {
  #level = 0
  #frames = 0
  #since = 0
  #last = 0

  get sharpness() {
    return [1.5, 1, 1, 0.75][this.#level]
  }

  draws(now) {
    if (now - this.#last > 400) this.#frames = 0 // it was away
    this.#last = now
    if (this.#frames === 0) this.#since = now
    if (++this.#frames > 40) {
      if (now - this.#since > 40 * 22 && this.#level < 3) this.#level++
      this.#frames = 0
    }
    return this.#frames % (this.#level + 1) === 0
  }
}

// glow is one warm light, drawn once and put wherever something shines.
function glow() {
  const canvas = document.createElement('canvas')
  canvas.width = canvas.height = 128
  const c = canvas.getContext('2d')
  const light = c.createRadialGradient(64, 64, 0, 64, 64, 64)
  light.addColorStop(0, 'rgba(255,226,170,1)')
  light.addColorStop(0.25, 'rgba(255,190,110,.5)')
  light.addColorStop(1, 'rgba(255,150,80,0)')
  c.fillStyle = light
  c.fillRect(0, 0, 128, 128)
  return canvas
}
