# make help says what there is.
.DEFAULT_GOAL := help
.PHONY: help demo test check fuzz bench ci

help: ## say what there is
	@awk -F ':.*## ' '/^[a-z]+:.*## / { printf "make %-6s %s\n", $$1, $$2 }' $(MAKEFILE_LIST)

demo: ## import this repository's history and a recorded one, and prove the result
	@bash scripts/demo.sh

test: ## run all tests with the race detector; T='-run X ./driver' runs some
	@bash scripts/test.sh $(T)

check: ## check format, go.mod, go vet and staticcheck
	@bash scripts/check.sh

fuzz: ## run every fuzz test for 10 seconds; FUZZTIME=1m for longer
	@bash scripts/fuzz.sh $(FUZZTIME)

bench: ## put es beside hand-written code and print a table; D=sqlite for one driver, T=10s for longer
	@D='$(D)' T='$(T)' B='$(B)' bash scripts/bench.sh

ci: ## run all that is run before a change is taken
	@bash .ci/run
