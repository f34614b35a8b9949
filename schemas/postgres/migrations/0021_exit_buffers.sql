-- How far outside of a geofence a vehicle has left it at once; null: as the geofence role is set.
alter table geofences add column exit_buffer_m double precision;
