// The Durable Streams server conformance suite, run against the server that
// conformance_test.go started.
import { runConformanceTests } from "@durable-streams/server-conformance-tests"

const baseUrl = process.env.TWOHOP_URL
if (!baseUrl) {
  throw new Error("TWOHOP_URL names no server; run this by go test ./test/conformance")
}

runConformanceTests({
  baseUrl,
  longPollTimeoutMs: Number(process.env.TWOHOP_LONG_POLL_MS),
  subscriptions: true,
})
