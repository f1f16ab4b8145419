# Each target is a line or two that a person could type.
PYTHON     ?= python3
MIN_PYTHON ?= python3.10
VENV       := .venv
MIN_VENV   := .venv-min
JOBS       ?= 2
DEMO       := $(CURDIR)/demo
DEMO_FLAGS := --num-epoch 9 --step 6 8 --warm_up_epoch 1 --base-lr 0.05 --batch-size 16 --num-worker 0 --device cpu \
	--train-feeder-args 'window_size=24,p_interval=[0.9,1],random_rot=False' --test-feeder-args window_size=24

.PHONY: help setup demo zero-shot-demo test test-min lint images smoke clean-demo
help:        ## this list
	@grep -E '^[a-z-]+:.*##' $(MAKEFILE_LIST) | sed -E 's/:.*##/\t/' | expand -t 14

setup: $(VENV)/ready  ## a virtual environment in .venv with everything pinned
$(VENV)/ready: pyproject.toml constraints.txt
	$(PYTHON) -m venv $(VENV)
	$(VENV)/bin/python -m pip install -q -c constraints.txt -e '.[logs,report,h5,search,text,dev]'
	$(VENV)/bin/python -m pip install -q -c constraints.txt --no-deps open_clip_torch || echo 'no CLIP merges: --bpe PATH names them'
	@touch $@

demo: setup $(DEMO)/NTU60_CS.npz  ## make an NTU60-format archive, train CTR-GCN on it, write a report (CPU, minutes)
	cd CTR-GCN && NTU60_ROOT=$(DEMO) ../$(VENV)/bin/python main.py --config config/nturgbd-cross-subject/default.yaml \
		--work-dir $(DEMO)/ctrgcn $(DEMO_FLAGS)
$(DEMO)/NTU60_CS.npz: | setup
	@mkdir -p $(DEMO)
	$(VENV)/bin/python -m skeleton_lab.data.synthetic --out $@ --train 640 --test 200 --classes 10
zero-shot-demo: setup  ## archive, backbone, features, texts, FS-VAE, gate: accuracy on unseen classes (CPU, minutes)
	$(VENV)/bin/python dataset_tools/zero_shot_demo.py --out $(DEMO)/zero_shot
clean-demo:  ## remove what `make demo` made
	rm -rf $(DEMO)

test: setup  ## the whole test suite; container tests need a Docker engine and are skipped without one
	$(VENV)/bin/python -m pytest -n $(JOBS) --dist loadfile -q

test-min: $(MIN_VENV)/ready  ## the same tests with the image's versions (torch 2.3.0, NumPy 1.26): several GB
	$(MIN_VENV)/bin/python -m pytest -n $(JOBS) --dist loadfile -q
$(MIN_VENV)/ready: pyproject.toml
	$(MIN_PYTHON) -m venv $(MIN_VENV)
	$(MIN_VENV)/bin/python -m pip install -q torch==2.3.0 'numpy==1.26.*' -e '.[logs,report,h5,search,text,dev]'
	@touch $@

lint: setup  ## ruff
	$(VENV)/bin/ruff check . && $(VENV)/bin/ruff format --check .

images:      ## build every image (BASE_IMAGE=... for another base)
	bash build_all_images.sh
smoke:       ## one training step of every room in its image
	$(PYTHON) smoke_test_all.py
