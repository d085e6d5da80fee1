// What the server gives as /twohop.js: the package, and the worker that tabs share.

import { transports } from "./transports.js"
import { serveTabs } from "./worker.js"

export * from "./index.js"
serveTabs(transports)
