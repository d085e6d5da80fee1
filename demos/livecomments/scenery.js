// What stands on and around the stage, in the world of 1600 by 900.

// backdrop draws what never moves: sky, harbour, stage. Returns a canvas.
export function backdrop(width, height) {
  const canvas = document.createElement('canvas')
  canvas.width = width
  canvas.height = height
  const c = canvas.getContext('2d')
  const scale = Math.max(width / 1600, height / 900)
  c.translate((width - 1600 * scale) / 2, (height - 900 * scale) / 2)
  c.scale(scale, scale)
  sky(c)
  harbour(c)
  platform(c)
  return canvas
}

function sky(c) {
  const air = c.createLinearGradient(0, 0, 0, 620)
  air.addColorStop(0, '#070a1f')
  air.addColorStop(0.45, '#191a44')
  air.addColorStop(0.8, '#4a2a5e')
  air.addColorStop(1, '#a2525a')
  c.fillStyle = air
  c.fillRect(-400, -400, 2400, 1700)
  for (let i = 0; i < 150; i++) {
    const n = (k) => {
      const v = Math.sin(i * 91.7 + k * 47.3) * 9631.7
      return v - Math.floor(v)
    }
    c.fillStyle = `rgba(255,255,255,${0.15 + n(3) * 0.6})`
    c.beginPath()
    c.arc(n(1) * 1700 - 50, n(2) ** 1.5 * 420, 0.5 + n(4) * 1.2, 0, 7)
    c.fill()
  }
  c.fillStyle = '#f6ecd2'
  c.beginPath()
  c.arc(1386, 128, 38, 0, 7)
  c.fill()
  const halo = c.createRadialGradient(1386, 128, 30, 1386, 128, 190)
  halo.addColorStop(0, 'rgba(246,236,210,.28)')
  halo.addColorStop(1, 'rgba(246,236,210,0)')
  c.fillStyle = halo
  c.fillRect(1180, -80, 420, 420)
}

function harbour(c) {
  // far hills and the town's lights
  c.fillStyle = '#241a3f'
  c.beginPath()
  c.moveTo(-50, 620)
  c.bezierCurveTo(120, 450, 260, 500, 420, 540)
  c.bezierCurveTo(700, 470, 900, 520, 1080, 530)
  c.bezierCurveTo(1280, 440, 1480, 470, 1660, 520)
  c.lineTo(1660, 660)
  c.lineTo(-50, 660)
  c.fill()
  for (let i = 0; i < 70; i++) {
    const v = Math.sin(i * 33.1) * 7919.3
    const n = v - Math.floor(v)
    const x = i < 35 ? i * 14 - 10 : 1130 + (i - 35) * 14
    c.fillStyle = `rgba(255,${190 + n * 50},${110 + n * 90},${0.35 + n * 0.5})`
    c.fillRect(x + n * 9, 556 + n * 36, 3, 3)
  }
  // lighthouse on its rock
  c.fillStyle = '#140f29'
  c.beginPath()
  c.moveTo(120, 600)
  c.quadraticCurveTo(196, 520, 272, 600)
  c.fill()
  c.beginPath()
  c.moveTo(180, 560)
  c.lineTo(186, 348)
  c.lineTo(206, 348)
  c.lineTo(212, 560)
  c.fill()
  c.fillRect(180, 342, 32, 7)
  c.fillRect(187, 322, 18, 20)
  c.beginPath()
  c.moveTo(184, 322)
  c.lineTo(196, 306)
  c.lineTo(208, 322)
  c.fill()
  // water
  const sea = c.createLinearGradient(0, 596, 0, 760)
  sea.addColorStop(0, '#7a4460')
  sea.addColorStop(0.3, '#2a2150')
  sea.addColorStop(1, '#0a0d24')
  c.fillStyle = sea
  c.fillRect(-400, 598, 2400, 700)
  for (let i = 0; i < 90; i++) {
    const v = Math.sin(i * 71.3) * 5113.7
    const n = v - Math.floor(v)
    c.fillStyle = `rgba(255,205,150,${0.05 + n * 0.13})`
    c.fillRect(((i * 211) % 1640) - 20, 604 + ((i * 17) % 130), 20 + n * 70, 2)
  }
}

function platform(c) {
  // towers and the truss between them
  for (const x of [392, 1168]) {
    c.fillStyle = '#0c0b1c'
    c.fillRect(x, 170, 40, 500)
    c.strokeStyle = 'rgba(150,150,210,.24)'
    c.lineWidth = 2
    for (let y = 190; y < 640; y += 40) {
      c.beginPath()
      c.moveTo(x + 5, y)
      c.lineTo(x + 35, y + 40)
      c.moveTo(x + 35, y)
      c.lineTo(x + 5, y + 40)
      c.stroke()
    }
  }
  c.fillStyle = '#0c0b1c'
  c.beginPath()
  c.moveTo(372, 172)
  c.quadraticCurveTo(800, 92, 1228, 172)
  c.lineTo(1228, 206)
  c.lineTo(372, 206)
  c.fill()
  c.strokeStyle = 'rgba(150,150,210,.22)'
  c.lineWidth = 2
  for (let x = 392; x < 1200; x += 34) {
    c.beginPath()
    c.moveTo(x, 204)
    c.lineTo(x + 17, 180)
    c.lineTo(x + 34, 204)
    c.stroke()
  }
  for (let i = 0; i < 8; i++) {
    c.fillStyle = '#191830'
    c.beginPath()
    c.roundRect(458 + i * 94.3, 196, 24, 22, 5)
    c.fill()
  }
  // loudspeakers, hung in a curve
  for (const [x, out] of [[336, -1], [1222, 1]]) {
    for (let i = 0; i < 7; i++) {
      c.save()
      c.translate(x + 21 + out * i * i * 0.9, 232 + i * 33)
      c.rotate(out * -i * 0.025)
      c.fillStyle = '#07070f'
      c.fillRect(-26, -15, 52, 31)
      c.strokeStyle = 'rgba(160,160,220,.22)'
      c.strokeRect(-26, -15, 52, 31)
      c.restore()
    }
  }
  // the wall of light, dark
  c.fillStyle = '#0b0a1d'
  c.beginPath()
  c.roundRect(506, 236, 588, 330, 8)
  c.fill()
  c.strokeStyle = 'rgba(150,150,210,.2)'
  c.stroke()
  // the floor
  const floor = c.createLinearGradient(0, 600, 0, 760)
  floor.addColorStop(0, '#332a5c')
  floor.addColorStop(1, '#12102a')
  c.fillStyle = floor
  c.beginPath()
  c.moveTo(430, 610)
  c.lineTo(1170, 610)
  c.lineTo(1270, 690)
  c.lineTo(330, 690)
  c.fill()
  c.fillStyle = '#0a0918'
  c.fillRect(330, 690, 940, 120)
  c.fillStyle = 'rgba(255,190,120,.5)'
  c.fillRect(330, 688, 940, 3)
  // the drums' riser, and boxes
  c.fillStyle = '#17142f'
  c.fillRect(690, 582, 220, 34)
  c.fillStyle = '#0d0c1e'
  for (const x of [452, 1056]) c.fillRect(x, 560, 90, 60)
  c.strokeStyle = 'rgba(160,160,220,.2)'
  for (const x of [452, 1056]) c.strokeRect(x, 560, 90, 60)
}

// limb draws a thick line through points.
function limb(c, width, ...points) {
  c.lineWidth = width
  c.beginPath()
  points.forEach(([x, y], i) => (i ? c.lineTo(x, y) : c.moveTo(x, y)))
  c.stroke()
}

function begin(c, tint) {
  c.fillStyle = c.strokeStyle = tint
  c.lineCap = c.lineJoin = 'round'
}

function disc(c, x, y, rx, ry = rx, turn = 0) {
  c.beginPath()
  c.ellipse(x, y, rx, ry, turn, 0, 7)
  c.fill()
}

function torso(c, top, bottom, shoulders, hips) {
  c.beginPath()
  c.moveTo(-shoulders, top + 6)
  c.quadraticCurveTo(0, top - 8, shoulders, top + 6)
  c.quadraticCurveTo(shoulders - 2, (top + bottom) / 2, hips, bottom)
  c.lineTo(-hips, bottom)
  c.quadraticCurveTo(-shoulders + 2, (top + bottom) / 2, -shoulders, top + 6)
  c.fill()
}

// The players stand with their feet at their place.
export const band = [
  { x: 800, y: 588, size: 0.95, still: true, draw: drummer },
  { x: 1000, y: 662, size: 1.06, draw: bassist },
  { x: 1118, y: 650, size: 0.98, still: true, draw: keys },
  { x: 598, y: 662, size: 1.05, draw: guitarist(1) },
  { x: 470, y: 668, size: 1.08, draw: guitarist(-1) },
  { x: 800, y: 676, size: 1.16, draw: singer },
]

function singer(c, tint, beat) {
  begin(c, tint)
  const lift = Math.max(0, Math.sin((beat / 8) * Math.PI)) // an arm goes up now and then
  limb(c, 15, [-9, -82], [-13, -40], [-15, -3], [-24, -1])
  limb(c, 15, [9, -82], [16, -40], [18, -3], [27, -1])
  torso(c, -152, -78, 22, 15)
  disc(c, 0, -174, 14, 16)
  c.beginPath() // hair
  c.moveTo(-15, -180)
  c.bezierCurveTo(-14, -200, 16, -200, 16, -178)
  c.bezierCurveTo(20, -160, 20, -148, 17, -138)
  c.lineTo(-17, -138)
  c.bezierCurveTo(-21, -150, -19, -168, -15, -180)
  c.fill()
  limb(c, 10, [18, -144], [30, -120], [9, -150])
  limb(c, 10, [-18, -144], [-36, -118 - lift * 40], [-34 - lift * 12, -96 - lift * 108])
  limb(c, 3.5, [6, -160], [10, -40], [12, 0])
  limb(c, 3.5, [-8, 0], [30, 0])
  disc(c, 5, -161, 5)
}

function guitarist(way) {
  return (c, tint, beat) => {
    begin(c, tint)
    c.scale(way, 1)
    const strum = Math.sin(beat * Math.PI * 2) * 5
    limb(c, 15, [-8, -82], [-18, -42], [-24, -3], [-34, -1])
    limb(c, 15, [8, -82], [18, -44], [24, -3], [34, -1])
    torso(c, -150, -76, 22, 15)
    disc(c, 3, -170, 13, 15, 0.2)
    disc(c, 1, -178, 15, 10, 0.2)
    disc(c, -10, -94, 20, 15, -0.35) // the guitar
    disc(c, 10, -102, 15, 12, -0.35)
    limb(c, 5, [10, -102], [66, -128])
    limb(c, 8, [64, -127], [74, -132])
    limb(c, 10, [-19, -142], [-34, -112], [-8, -94 + strum])
    limb(c, 10, [19, -142], [42, -112], [50, -120])
  }
}

function bassist(c, tint, beat) {
  begin(c, tint)
  const pluck = Math.sin(beat * Math.PI * 4) * 2
  limb(c, 15, [-8, -84], [-14, -44], [-20, -3], [-30, -1])
  limb(c, 15, [8, -84], [14, -44], [20, -3], [30, -1])
  torso(c, -154, -78, 23, 16)
  disc(c, -2, -175, 13, 15)
  c.fillRect(-17, -190, 30, 7) // a hat
  c.beginPath()
  c.roundRect(-12, -202, 20, 16, 4)
  c.fill()
  disc(c, 12, -88, 21, 14, 0.45)
  limb(c, 5, [4, -94], [-74, -132])
  limb(c, 8, [-72, -131], [-84, -138])
  limb(c, 10, [20, -146], [36, -114], [12, -88 + pluck])
  limb(c, 10, [-20, -146], [-42, -116], [-46, -118])
}

function keys(c, tint, beat) {
  begin(c, tint)
  const press = Math.sin(beat * Math.PI * 2) * 3
  limb(c, 14, [-6, -80], [-10, 0])
  limb(c, 14, [8, -80], [12, 0])
  torso(c, -148, -76, 20, 15)
  disc(c, -5, -168, 13, 15, -0.2)
  disc(c, 5, -176, 12, 9)
  limb(c, 9, [-18, -140], [-36, -104 + press])
  limb(c, 9, [16, -140], [4, -110], [-20, -102 - press])
  c.beginPath()
  c.roundRect(-86, -98, 92, 11, 3)
  c.fill()
  limb(c, 5, [-74, -90], [-20, 0])
  limb(c, 5, [-10, -90], [-66, 0])
}

function drummer(c, tint, beat) {
  begin(c, tint)
  const left = Math.max(0, Math.sin(beat * Math.PI * 2)) * 34
  const right = Math.max(0, Math.sin(beat * Math.PI * 2 + Math.PI)) * 34
  torso(c, -122, -52, 21, 16)
  disc(c, 0, -142, 13, 15)
  limb(c, 9, [-18, -112], [-38, -84], [-28, -76 - left * 0.5])
  limb(c, 9, [18, -112], [38, -84], [28, -76 - right * 0.5])
  limb(c, 3, [-28, -76 - left * 0.5], [-52, -78 - left])
  limb(c, 3, [28, -76 - right * 0.5], [54, -78 - right])
  disc(c, 0, -30, 34) // bass drum
  for (const [x, y, r] of [[-50, -54, 19], [50, -54, 19], [-22, -66, 15], [24, -66, 15]]) {
    c.beginPath()
    c.roundRect(x - r, y - r * 0.6, r * 2, r * 1.3, 5)
    c.fill()
  }
  for (const [x, y, tilt] of [[-84, -104, 0.22], [84, -108, -0.22], [-66, -76, 0]]) {
    disc(c, x, y, 29, 4, tilt)
    limb(c, 3, [x, y], [x * 0.94, 0])
  }
}

// person is one of the crowd, seen from behind, head at the origin. up is how far
// an arm is raised.
export function person(c, tint, rim, up, lean, side) {
  for (const pass of [rim, tint]) {
    c.fillStyle = c.strokeStyle = pass
    if (pass === tint) c.translate(0, 3)
    c.beginPath()
    c.ellipse(lean * 20, 0, 15, 18, lean, 0, 7)
    c.fill()
    c.beginPath()
    c.moveTo(-36, 150)
    c.bezierCurveTo(-40, 40, -26, 22, 0, 20)
    c.bezierCurveTo(26, 22, 40, 40, 36, 150)
    c.fill()
    if (up > 0) {
      c.lineCap = 'round'
      c.lineWidth = 11
      c.beginPath()
      c.moveTo(side * 26, 44)
      c.quadraticCurveTo(side * 36, 10, side * (16 + lean * 60), 30 - up * 104)
      c.stroke()
    }
  }
}
