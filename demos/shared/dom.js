// The few things that every page needs of the document.

export const $ = (id) => document.getElementById(id)

// make builds an element: make('li', { class: 'row', title: 'x' }, 'text', child)
export function make(name, attributes = {}, ...children) {
  const element = document.createElement(name)
  for (const [key, value] of Object.entries(attributes)) {
    if (value === true) element.setAttribute(key, '')
    else if (value !== false && value !== undefined) element.setAttribute(key, value)
  }
  element.append(...children)
  return element
}

// text writes only what changed, so that an unchanged figure costs nothing.
export function text(element, value) {
  if (element.textContent !== value) element.textContent = value
}

// painter returns a function that asks for one call of draw in the next frame,
// however often it is called: whatever arrives in between is drawn at once.
export function painter(draw) {
  let asked = false
  return () => {
    if (asked) return
    asked = true
    requestAnimationFrame((now) => {
      asked = false
      draw(now)
    })
  }
}

// sharp sizes a canvas to its box in device pixels, and returns its context with
// the box's size. Call it before each drawing; it only acts when the size changed.
export function sharp(canvas, most = 2) {
  const scale = Math.min(devicePixelRatio || 1, most)
  const width = canvas.clientWidth
  const height = canvas.clientHeight
  if (canvas.width !== Math.round(width * scale) || canvas.height !== Math.round(height * scale)) {
    canvas.width = Math.round(width * scale)
    canvas.height = Math.round(height * scale)
  }
  const context = canvas.getContext('2d')
  context.setTransform(scale, 0, 0, scale, 0, 0)
  return { context, width, height }
}

const motion = matchMedia('(prefers-reduced-motion: reduce)')
export const calm = () => motion.matches

// colour reads a token, such as colour('accent').
export const colour = (name) => getComputedStyle(document.documentElement).getPropertyValue(`--${name}`).trim()
