# Weir. `make` prints this list of targets; house.md section 7 says what each is for.
.DEFAULT_GOAL := help
SHELL := /bin/bash
.SHELLFLAGS := -eu -o pipefail -c
.DELETE_ON_ERROR:

GO      ?= go
BIN     := $(CURDIR)/bin
OUT     := $(CURDIR)/out
VERSION ?= $(shell git describe --tags --always --dirty 2>/dev/null || echo devel)
LDFLAGS := -s -w -X main.version=$(VERSION)

# Go files that are ours: nested modules and node_modules hold others.
GOFILES  = $(shell git ls-files '*.go')
# Modules beside the product's: each is checked by itself.
NESTED   = $(patsubst %/go.mod,%,$(filter-out go.mod deploy/%,$(shell git ls-files 'go.mod' '*/go.mod')))

FUZZTIME  ?= 10s
COUNT     ?= 6
BENCHTIME ?= 50ms
BENCH     ?= .
BENCHPKGS ?= ./sfu/... ./signalling/... ./e2ee/...
BASELINE  := bench/baseline.txt

.PHONY: help
help: ## print this list
	@awk -F ':.*## ' '/^[a-z-]+:.*## /{printf "  make %-10s %s\n", $$1, $$2}' $(MAKEFILE_LIST)

.PHONY: build
build: ## the binaries of this module, stripped, into bin/
	@mkdir -p $(BIN)
	CGO_ENABLED=0 $(GO) build -trimpath -ldflags '$(LDFLAGS)' -o $(BIN)/ ./cmd/...

.PHONY: check
check: format vet staticcheck tidy unit ## format, vet, staticcheck, tidy, import rules, Go tests (under a minute warm)

.PHONY: format
format:
	@bad=$$(gofmt -l $(GOFILES)); if [ -n "$$bad" ]; then echo "gofmt these:"; echo "$$bad"; exit 1; fi

.PHONY: fmt
fmt: ## format the Go sources in place
	gofmt -w $(GOFILES)

.PHONY: vet
vet:
	$(GO) vet ./...

.PHONY: staticcheck
staticcheck: $(BIN)/staticcheck
	$(BIN)/staticcheck ./...

.PHONY: tidy
tidy:
	@$(GO) mod tidy -diff >/dev/null || { echo "go.mod is not tidy: run go mod tidy"; exit 1; }

.PHONY: unit
unit:
	$(GO) test ./...

.PHONY: lint
lint: ## golangci-lint with .golangci.yml (built from its pinned module; slow the first time)
	@mkdir -p $(BIN)
	cd deploy/tools/lint && $(GO) build -o $(BIN)/golangci-lint github.com/golangci/golangci-lint/v2/cmd/golangci-lint
	$(BIN)/golangci-lint run ./...

.PHONY: race
race: ## the Go tests under the race detector
	CGO_ENABLED=1 $(GO) test -race ./...

.PHONY: fuzz
fuzz: ## every fuzz target for FUZZTIME (10s)
	@for file in $$(grep -rlE '^func Fuzz[A-Z]' --include='*_test.go' cmd sfu signalling web bench e2ee cascade 2>/dev/null); do \
	  for target in $$(sed -nE 's/^func (Fuzz[A-Za-z0-9_]+)\(.*/\1/p' $$file); do \
	    echo "== $$(dirname $$file) $$target"; \
	    $(GO) test -run '^$$' -fuzz "^$$target$$" -fuzztime $(FUZZTIME) -fuzzminimizetime 20x ./$$(dirname $$file); \
	  done; done

.PHONY: bench
bench: $(BIN)/benchstat ## benchmarks, COUNT (6) times, compared with the committed baseline
	@mkdir -p $(OUT)
	$(GO) test -run '^$$' -bench '$(BENCH)' -benchmem -benchtime $(BENCHTIME) -count $(COUNT) $(BENCHPKGS) | tee $(OUT)/bench.txt
	@if [ -f $(BASELINE) ]; then $(BIN)/benchstat $(BASELINE) $(OUT)/bench.txt; else echo "no baseline yet: make baseline"; fi

.PHONY: baseline
baseline: ## make the last benchmark run the committed baseline
	cp $(OUT)/bench.txt $(BASELINE)

.PHONY: profile
profile: ## CPU and allocation profiles of the packet path into out/
	@mkdir -p $(OUT)
	$(GO) test -run '^$$' -bench '$(BENCH)' -benchtime 2s -cpuprofile $(OUT)/cpu.prof -memprofile $(OUT)/mem.prof -o $(OUT)/media.test ./sfu/media
	$(GO) tool pprof -top -nodecount 25 $(OUT)/media.test $(OUT)/cpu.prof

.PHONY: demo
demo: build $(BIN)/weir-demo ## a homeserver, a focus, bots and the call page on this machine; prints two links
	$(BIN)/weir-demo

# The demo's module builds its homeserver, Dendrite, from the published source: a program of its own.
.PHONY: $(BIN)/weir-demo
$(BIN)/weir-demo: $(BIN)/dendrite
	cd cmd/weir-demo && CGO_ENABLED=0 $(GO) build -trimpath -o $@ .
$(BIN)/dendrite: cmd/weir-demo/go.mod cmd/weir-demo/go.sum
	@mkdir -p $(BIN)
	cd cmd/weir-demo && CGO_ENABLED=0 $(GO) build -trimpath -ldflags '-s -w' -o $@ github.com/element-hq/dendrite/cmd/dendrite

.PHONY: test
test: check system web nested browser ## everything, installing what the tests need

# Tests with whole processes and real time, too slow for make check.
.PHONY: system
system:
	$(GO) vet -tags system ./bench
	$(GO) test -tags system -run 'TestSeries|TestFocusHoldsNoKey|TestFlood|TestChurn|TestSiege' ./bench

# Modules of their own: the demo, and the Go SDK of LiveKit as a client.
.PHONY: nested
nested: build
	@for m in $(NESTED); do echo "== $$m"; (cd $$m && $(GO) vet ./... && WEIR=$(BIN)/weir $(GO) test ./...); done

# The bundle is committed, so that a clone builds without Node; this proves that it comes from the committed sources.
.PHONY: web
web: ## build the call page anew and compare it with the committed bundle
	cd web/call && npm ci --no-audit --no-fund && npm run verify

.PHONY: bundle
bundle: ## build the call page into web/dist, to be committed
	cd web/call && npm ci --no-audit --no-fund && npm run build

.PHONY: browser
browser: build $(BIN)/weir-demo ## unmodified clients in Chromium, against a focus and real homeservers
	web/e2e/install
	cd web/e2e && BIN=$(BIN) npm test

.PHONY: ci
ci: test ## what .ci/run calls

# One module pins the tools, so that they never touch the product's go.mod.
$(BIN)/staticcheck: deploy/tools/go.mod deploy/tools/go.sum
	@mkdir -p $(BIN)
	cd deploy/tools && $(GO) build -o $@ honnef.co/go/tools/cmd/staticcheck
$(BIN)/benchstat: deploy/tools/go.mod deploy/tools/go.sum
	@mkdir -p $(BIN)
	cd deploy/tools && $(GO) build -o $@ golang.org/x/perf/cmd/benchstat
