// Errors as the server tells them: a code for programs, a message and a hint for people.

export interface Details {
  status?: number
  /** Trying again may help. */
  retry?: boolean
  /** Milliseconds that the server asks to wait. */
  after?: number
  channel?: string
  /** The tail, of `tail_moved` and `closed`. */
  offset?: string
}

export class TwohopError extends Error {
  /** What programs look at: a code of PROTOCOL.md, section 11. */
  readonly code: string
  readonly hint: string
  readonly status?: number
  readonly retry?: boolean
  readonly after?: number
  readonly channel?: string
  readonly offset?: string

  constructor(code: string, message: string, hint = "", details: Details = {}) {
    super(message)
    this.name = "TwohopError"
    this.code = code
    this.hint = hint
    Object.assign(this, details)
  }
}

/** Codes of frames and items for which trying again may help. */
export const mends = (code?: string): boolean =>
  /^(internal|storage_f|unavailable|unknown_o|timeout|body_cut)/.test(code!)

export const lost = (message: string): TwohopError =>
  new TwohopError("unavailable", message, "is the server running, and is its address right?", { retry: true })

/** An error of a frame, or of an item of a list. */
export const told = (f: { code?: string; message?: string; hint?: string; offset?: string; channel?: string }): TwohopError =>
  new TwohopError(f.code!, f.message!, f.hint, { channel: f.channel, offset: f.offset, retry: mends(f.code) })

/** Any value that was thrown, as an error. */
export const asError = (e: unknown): TwohopError =>
  e instanceof TwohopError ? e : lost("no answer from the server: " + ((e as Error)?.message ?? e))
