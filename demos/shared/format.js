// Numbers as people read them. Pure.

export const count = (n) => Math.round(n).toLocaleString('en')

// short writes large counts in four characters: 950, 1.2K, 34K, 5.1M.
export function short(n) {
  if (n < 1000) return String(Math.round(n))
  const [value, unit] = n < 999_500 ? [n / 1000, 'K'] : [n / 1e6, 'M']
  return (value < 9.95 ? value.toFixed(1) : Math.round(value)) + unit
}

// milliseconds returns figure and unit: ['12', 'ms'], ['1.4', 's'].
export function milliseconds(ms) {
  if (ms === null || !Number.isFinite(ms)) return ['–', '']
  if (ms < 999.5) return [ms < 9.95 ? Math.max(0, ms).toFixed(ms < 0.05 ? 0 : 1) : String(Math.round(ms)), 'ms']
  return [(ms / 1000).toFixed(ms < 9950 ? 1 : 0), 's']
}

// bytes returns figure and unit of a rate: ['38.2', 'KB/s'].
export function bytes(n) {
  if (n < 1000) return [String(Math.round(n)), 'B/s']
  if (n < 999_500) return [(n / 1000).toFixed(n < 99_950 ? 1 : 0), 'KB/s']
  return [(n / 1e6).toFixed(2), 'MB/s']
}

// rate writes how many a second: 0.3, 4.1, 25, 1,240.
export const rate = (n) => (n < 9.95 && n > 0 ? n.toFixed(1) : count(n))

export const plural = (n, one, many = one + 's') => `${count(n)} ${n === 1 ? one : many}`
