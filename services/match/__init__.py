"""Which subscriptions want an event: pure, in memory.

    types      which event types a pattern selects, and under which name its owner gets them
    filters/   the filter language: what an event must say to be wanted
    geofences  a submitted geofence becomes an area, or every fault found in it
    fences     a project's stored geofences, replaced as a whole; below it geometry, polygons and grid
    order_key  the key by which the requests of an ordered subscription go one after another
    index      all subscriptions by project and type; one look-up per event
    entry      what a look-up finds: subscriptions without a filter, and those whose filter holds

An event is one delivery per subscription, however many of its patterns match. Paused and disabled
subscriptions match as well: what becomes of their events is decided elsewhere.
"""
