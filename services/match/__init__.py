"""Which subscriptions want an event: pure, in memory.

    types   a pattern becomes what it selects, and the name in which its owner wants to be answered
    geofences  a geofence as it is written becomes an area
    index   all subscriptions by project and type; one look-up an event

An event is one delivery per subscription, however many of its patterns match. Paused and disabled
subscriptions match as well: what becomes of their events is not decided here.
"""
