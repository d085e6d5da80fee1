// The reactions, drawn here so that they look the same everywhere. One source
// serves the buttons and what floats over the stage.
const badge = (from, to, inside) =>
  `<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 32 32" width="64" height="64"><defs><linearGradient id="g" x1="0" y1="0" x2="0" y2="1"><stop stop-color="${from}"/><stop offset="1" stop-color="${to}"/></linearGradient></defs><circle cx="16" cy="16" r="15" fill="url(#g)"/>${inside}</svg>`

const face = '<path d="M8.700 11.600q2-2.400 4 0M19.300 11.600q2-2.400 4 0" fill="none" stroke="#4a2a05" stroke-width="1.900" stroke-linecap="round"/>'

const drawings = {
  heart: badge('#ff5f86', '#e11d48', '<path d="M16 24.500s-8-4.700-8-10.200c0-2.700 2-4.600 4.400-4.600 1.500 0 2.800.8 3.600 2 .8-1.200 2.100-2 3.600-2 2.400 0 4.400 1.900 4.400 4.600 0 5.500-8 10.200-8 10.200z" fill="#fff"/>'),
  laugh: badge('#ffdd67', '#f7b125', face + '<path d="M8.500 16h15c0 5-3.300 8.600-7.500 8.600S8.500 21 8.500 16z" fill="#4a2a05"/><path d="M11.600 22.600c1.200-1.300 2.700-1.900 4.400-1.900s3.200.6 4.400 1.900c-1.200 1.200-2.700 2-4.400 2s-3.200-.8-4.400-2z" fill="#ff6b6b"/>'),
  like: badge('#5aa9ff', '#1d6ff2', '<path d="M8.500 15h3.300v8.700H8.500zM13 15l3.200-6.500c1.600 0 2.500 1.200 2.300 2.700l-.5 2.700h4.100c1.500 0 2.500 1.300 2.100 2.700l-1.400 5.300c-.3 1.100-1.200 1.800-2.300 1.800H13z" fill="#fff"/>'),
  fire: badge('#ffb066', '#f2600c', '<path d="M16.600 6.500c.6 3.600 5.900 6 5.900 11.600 0 3.900-2.900 6.900-6.500 6.900s-6.500-2.700-6.500-6.600c0-2.700 1.300-4.600 2.700-6 .1 1.700.7 2.600 1.600 3 .2-3.700 1-6.700 2.800-8.900z" fill="#fff"/><path d="M16.300 17c.3 1.700 2.300 2.500 2.300 4.600 0 1.500-1.100 2.600-2.600 2.600s-2.700-1.100-2.700-2.600c0-2 2-2.700 3-4.600z" fill="#f2600c"/>'),
  wow: badge('#ffdd67', '#f7b125', '<circle cx="11.300" cy="12.800" r="1.900" fill="#4a2a05"/><circle cx="20.700" cy="12.800" r="1.900" fill="#4a2a05"/><ellipse cx="16" cy="21" rx="3.500" ry="4.300" fill="#4a2a05"/><path d="M8.600 8.400q2-1.700 4-.9M23.400 8.400q-2-1.700-4-.9" fill="none" stroke="#4a2a05" stroke-width="1.500" stroke-linecap="round"/>'),
}

export const kinds = Object.keys(drawings)
export const names = { heart: 'Love', laugh: 'Laugh', like: 'Like', fire: 'Fire', wow: 'Wow' }
export const source = (kind) => 'data:image/svg+xml,' + encodeURIComponent(drawings[kind])

export function image(kind) {
  const img = new Image(64, 64)
  img.alt = ''
  img.src = source(kind)
  return img
}
