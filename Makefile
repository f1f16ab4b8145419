# Each target is a line or two that a person could type.
PYTHON     ?= python3
MIN_PYTHON ?= python3.10
VENV       := .venv
MIN_VENV   := .venv-min
JOBS       ?= 2
PYTEST     := -m pytest -q -n $(JOBS) --dist worksteal
DEMO       := $(CURDIR)/demo
ROOM       ?= CTR-GCN
SKELETON   ?=

.PHONY: help setup demo multimodal-demo zero-shot-demo test test-quick test-min coverage lint images smoke clean-demo
help:        ## this list
	@grep -E '^[a-z-]+:.*##' $(MAKEFILE_LIST) | sed -E 's/:.*##/\t/' | expand -t 18

setup: $(VENV)/ready  ## a virtual environment in .venv with everything pinned
# pip compiles every module, one after the other, and takes longer for it than for all the rest: here it is done on all
# processors, and for a demo only for what is imported.
$(VENV)/base: pyproject.toml constraints.txt
	$(PYTHON) -m venv $(VENV)
	$(VENV)/bin/python -m pip install -q --no-compile -c constraints.txt -e '.[logs,report]'
	@touch $@
$(VENV)/ready: $(VENV)/base
	$(VENV)/bin/python -m pip install -q --no-compile -c constraints.txt -e '.[h5,video,export,search,text,weights,slurm,dev]'
	$(VENV)/bin/python -m pip install -q --no-compile -c constraints.txt --no-deps open_clip_torch  # CLIP's merges are in it
	@$(VENV)/bin/python -m compileall -qq -j 0 $(VENV)/lib || true  # some packages hold files for other Pythons
	@touch $@

demo: $(VENV)/base  ## make an archive (SKELETON=coco17: 2-D key points), train CTR-GCN (or ROOM=...) on it, report (CPU)
	@DEMO=$(DEMO) SKELETON=$(SKELETON) PYTHON=$(VENV)/bin/python PYTHONDONTWRITEBYTECODE= bash tools/demo_room.sh $(ROOM)
multimodal-demo: $(VENV)/base  ## synthetic clips with objects in hand, a small network, what descriptors add to it (CPU)
	@PYTHON=$(VENV)/bin/python DEMO=$(DEMO)/multimodal bash tools/demo_multimodal.sh
zero-shot-demo: setup  ## archive, backbone, features, texts, FS-VAE, gate: accuracy on unseen classes (CPU, minutes)
	$(VENV)/bin/python dataset_tools/zero_shot_demo.py --out $(DEMO)/zero_shot
clean-demo:  ## remove what `make demo` made
	rm -rf $(DEMO)

test: setup  ## the whole test suite; container tests need a Docker engine and are skipped without one
	$(VENV)/bin/python $(PYTEST)
test-quick: setup  ## something of everything within two minutes: no container, nothing that is marked slow
	$(VENV)/bin/python $(PYTEST) -m 'not docker and not slow'
test-min: $(MIN_VENV)/ready  ## the whole suite with the image's versions (torch 2.3.0, NumPy 1.26): several GB
	$(MIN_VENV)/bin/python $(PYTEST)
coverage: setup  ## all tests but those in containers, and the files of which they run the least
	$(VENV)/bin/python $(PYTEST) -m 'not docker' --cov --cov-report=
	@$(VENV)/bin/coverage report | head -n 40; echo "total: $$($(VENV)/bin/coverage report --format=total) %"
$(MIN_VENV)/ready: pyproject.toml
	$(MIN_PYTHON) -m venv $(MIN_VENV)
	$(MIN_VENV)/bin/python -m pip install -q torch==2.3.0 'numpy==1.26.*' -e '.[logs,report,h5,search,text,weights,slurm,dev]'
	@touch $@

lint: setup  ## ruff, types (mypy), directions of imports (import-linter)
	$(VENV)/bin/ruff check . && $(VENV)/bin/ruff format --check .
	$(VENV)/bin/mypy
	$(VENV)/bin/lint-imports --no-logo

images:      ## build every image (BASE_IMAGE=... for another base)
	bash build_all_images.sh
smoke:       ## one training step of every room in its image
	$(PYTHON) smoke_test_all.py
