// What the server gives as /twohop.js: the package, and the worker that tabs share.

import { serveTabs } from "./worker.js"
import { transports } from "./transports.js"

export * from "./index.js"
serveTabs(transports)
