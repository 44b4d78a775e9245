//! The log on a real Kafka passes the suite that every log passes.

mod deployment;

use tidegate_log::conformance::run_all;
use tidegate_services::test_kafka;

use deployment::Deployment;

#[test]
fn the_log_on_kafka_conforms() {
    let Ok(bootstrap) = test_kafka() else { return };
    run_all(|| Deployment::new(&bootstrap));
}
