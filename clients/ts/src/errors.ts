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
  declare readonly code: string
  declare readonly hint: string
  declare readonly status?: number
  declare readonly retry?: boolean
  declare readonly after?: number
  declare readonly channel?: string
  declare readonly offset?: string

  constructor(code: string, message: string, hint?: string, details?: Details) {
    super(message)
    Object.assign(this, details, { code, hint, name: "TwohopError" })
  }
}

/** Codes of frames and items for which trying again may help: internal, storage_*, unavailable, unknown_outcome, timeout, body_cut. */
export const mends = (code?: string): boolean =>
  /^(int|sto|un[ak]|ti|bo)/.test(code!)

export const lost = (message: string): TwohopError =>
  new TwohopError("unavailable", message, "is it running?", { retry: true })

export const closedError = (code = "closed"): TwohopError => new TwohopError(code, "client closed")

/** An error of a frame, or of an item of a list. */
export const told = (f: { code?: string; message?: string; hint?: string; offset?: string; channel?: string }): TwohopError =>
  new TwohopError(f.code!, f.message!, f.hint, { channel: f.channel, offset: f.offset, retry: mends(f.code) })

/** An error as it passes between page and worker. */
export type Fault = Partial<TwohopError> | undefined

export const fault = (e?: Error): Fault => e && { ...e, message: e.message }

/** Any value that was thrown, as an error. */
export const asError = (e: unknown): TwohopError =>
  e instanceof TwohopError ? e : lost("no reply: " + e)
