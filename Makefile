# What a developer does, and what .ci/run does. "make" alone lists it.

GO ?= go
FUZZTIME ?= 10s

.PHONY: help build run test test-real lint fix bench fuzz docs clean

help: ## list what can be made
	@awk -F':.*## ' '/^[a-z-]+:.*## / {printf "make %-10s %s\n", $$1, $$2}' $(MAKEFILE_LIST)

build: ## build bin/twohop
	$(GO) build -o bin/twohop ./cmd/twohop

run: build ## build and start on the disk engine, in ./twohop-data, with the demos, at http://127.0.0.1:4437/
	@echo "twohop: http://127.0.0.1:4437/"
	./bin/twohop demo --engine disk --data ./twohop-data

# -count=1: tests that build and start the command would be taken from the cache.
test: ## everything that needs only Go and Node, the conformance suite included
	scripts/check-format.sh
	$(GO) vet ./...
	$(GO) test -race -count=1 ./...

test-real: ## with real browsers and load balancers
	$(GO) vet -tags real ./test/real/...
	$(GO) test -tags real -count=1 ./test/real/...

lint: ## golangci-lint, go fix; installs the linter into bin if it is missing
	scripts/golangci-lint.sh run ./...
	scripts/golangci-lint.sh run --build-tags real ./test/real/...
	scripts/check-fix.sh
	cd clients/ts && { [ node_modules/.package-lock.json -nt package-lock.json ] || npm ci; } && npm run --silent check

fix: ## mend what tools can mend
	scripts/golangci-lint.sh fmt
	$(GO) fix ./...

bench: ## every benchmark, a few rounds each: they compile and do what they measure
	$(GO) test -run '^$$' -bench . -benchtime 10x ./...

fuzz: ## every fuzz target for FUZZTIME (10s)
	scripts/fuzz.sh $(FUZZTIME)

docs: ## write the pages that are made from the code
	$(GO) test ./internal/config -run TestManualIsTheStruct -update

clean: ## remove what was built
	rm -rf bin .ci/log test/conformance/node_modules clients/ts/node_modules clients/ts/dist
