CREATE TABLE "event_metrics" (
  "window_start" TEXT NOT NULL,
  "window_end" TEXT NOT NULL,
  "event_type" TEXT NOT NULL,
  "event_count" INTEGER NOT NULL,
  "user_count" INTEGER NOT NULL,
  version INTEGER NOT NULL DEFAULT 0,
  log_partition INTEGER NOT NULL DEFAULT 0,
  log_offset INTEGER NOT NULL DEFAULT 0,
  PRIMARY KEY ("window_start", "event_type", "window_end")
) STRICT, WITHOUT ROWID;
CREATE TABLE "performance_metrics" (
  "window_start" TEXT NOT NULL,
  "window_end" TEXT NOT NULL,
  "device_category" TEXT NOT NULL,
  "avg_load_time" REAL NOT NULL,
  "p95_load_time" REAL NOT NULL,
  version INTEGER NOT NULL DEFAULT 0,
  log_partition INTEGER NOT NULL DEFAULT 0,
  log_offset INTEGER NOT NULL DEFAULT 0,
  PRIMARY KEY ("window_start", "device_category", "window_end")
) STRICT, WITHOUT ROWID;
CREATE TABLE "session_metrics" (
  "session_id" TEXT NOT NULL,
  "user_id" TEXT NOT NULL,
  "start_time" TEXT NOT NULL,
  "end_time" TEXT NOT NULL,
  "duration" INTEGER NOT NULL,
  "page_count" INTEGER NOT NULL,
  "device_category" TEXT NOT NULL,
  version INTEGER NOT NULL DEFAULT 0,
  log_partition INTEGER NOT NULL DEFAULT 0,
  log_offset INTEGER NOT NULL DEFAULT 0,
  PRIMARY KEY ("start_time", "session_id", "user_id")
) STRICT, WITHOUT ROWID;
CREATE TABLE "session_window_metrics" (
  "window_start" TEXT NOT NULL,
  "window_end" TEXT NOT NULL,
  "device_category" TEXT NOT NULL,
  "sessions" INTEGER NOT NULL,
  "bounces" INTEGER NOT NULL,
  "avg_duration" REAL NOT NULL,
  "avg_page_count" REAL NOT NULL,
  version INTEGER NOT NULL DEFAULT 0,
  log_partition INTEGER NOT NULL DEFAULT 0,
  log_offset INTEGER NOT NULL DEFAULT 0,
  PRIMARY KEY ("window_start", "device_category", "window_end")
) STRICT, WITHOUT ROWID;
CREATE TABLE dropped_events (
  reason TEXT NOT NULL,
  job TEXT NOT NULL,
  partition INTEGER NOT NULL,
  "offset" INTEGER NOT NULL,
  record ANY NOT NULL,
  version INTEGER NOT NULL DEFAULT 0,
  log_partition INTEGER NOT NULL DEFAULT 0,
  log_offset INTEGER NOT NULL DEFAULT 0,
  PRIMARY KEY (log_partition, log_offset)
) STRICT;
CREATE TABLE sink_gaps (
  topic TEXT NOT NULL,
  log_partition INTEGER NOT NULL,
  from_offset INTEGER NOT NULL,
  to_offset INTEGER NOT NULL,
  PRIMARY KEY (topic, log_partition, from_offset)
) STRICT, WITHOUT ROWID;
CREATE TABLE sink_positions (
  topic TEXT NOT NULL,
  log_partition INTEGER NOT NULL,
  next_offset INTEGER NOT NULL,
  last_offset INTEGER,
  last_version INTEGER,
  unreadable INTEGER NOT NULL DEFAULT 0,
  PRIMARY KEY (topic, log_partition)
) STRICT, WITHOUT ROWID;
CREATE TABLE unreadable_rows (
  topic TEXT NOT NULL,
  op TEXT NOT NULL,
  reason TEXT NOT NULL,
  record ANY NOT NULL,
  version INTEGER NOT NULL,
  log_partition INTEGER NOT NULL,
  log_offset INTEGER NOT NULL,
  PRIMARY KEY (topic, log_partition, log_offset)
) STRICT;
