// The script of the SharedWorker, for pages with a bundle of their own:
// connect({ shared: new URL("twohop/tabs", import.meta.url) }), as the bundler writes it.

import { transports } from "./transports.js"
import { serveTabs } from "./worker.js"

serveTabs(transports)
