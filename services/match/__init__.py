"""Which subscriptions want an event: pure, in memory.

    types      a pattern becomes what it selects, and the name in which its owner is answered
    filters/   the language: what an event must say to be wanted
    geofences  a geofence as it is written becomes an area, or every fault of it
    fences     the stored geofences of a project, swapped whole; geometry, polygons and grid below them
    order_key  by what the requests of an ordered subscription go one after the other
    index      all subscriptions by project and type; one look-up an event
    entry      what it finds: those without a filter, and those whose filter holds

An event is one delivery per subscription, however many of its patterns match. Paused and disabled
subscriptions match as well: what becomes of their events is not decided here.
"""
