"""What the lab does on a GPU, measured in parts that each count alone: ``bash tools/gpu_evidence.sh``.

Every part is a process of its own (memory limits, errors of the driver and hangs stay with it) and writes its rows to
``FOLDER/PART.json`` as they come, so whatever ends the run, what was measured is there.
"""
