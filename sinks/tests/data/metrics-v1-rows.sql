PRAGMA application_id = 1415858036;
PRAGMA user_version = 1;
INSERT INTO event_metrics VALUES ('1970-01-01 00:00:00.000', '1970-01-01 00:01:00.000', 'click', 2, 1, 1431857100002, 0, 1);
INSERT INTO event_metrics VALUES ('1970-01-01 00:00:00.000', '1970-01-01 00:01:00.000', 'page_view', 7, 1, 1431857100001, 0, 0);
INSERT INTO sink_positions VALUES ('event_metrics', 0, 2, 1, 1431857100002, 0);
