"""What a step of a model file costs on this machine, in every way there is to take it.

`measurement` measures, `ways` are what is measured, `report` shows it, `machine` says where.
"""
