# make serve: from a fresh clone to a server with the demo model. ARGS= goes to stator serve: make serve ARGS='--port 0'
# The build runs in a make of its own, after scripts/setup: what it reads at the start (pkg-config) may come from there.
serve: ## set up, build, fetch the demo model, serve it (ARGS= for stator serve)
	@scripts/setup build
	@+$(MAKE) --no-print-directory $(BUILD)/stator
	@scripts/model >/dev/null
	@exec $(BUILD)/stator serve $(ARGS)
.PHONY: serve
