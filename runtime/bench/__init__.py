"""What a step of a model file costs on this machine, in every way there is to take it.

`measurement` measures, `ways` are what is measured (`by_hand` those that people write without stepcell), `report` shows
it, `machine` says where.
"""
