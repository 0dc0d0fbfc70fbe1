"""Many labelers, real processes, kills at random moments: whether a campaign's queue loses nothing and has nothing labeled twice.

python -m tracecore_labeling.soak --labelers 1000 --tasks 20000 --processes 4 --kills 20
"""
