//! Fetching a broker: its jars, by Maven.

use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context, ensure};

use super::VERSION;
use crate::{fetched, tools};

/// The folder of the broker's jars: those of a Kafka that is installed, or fetched when they are not there yet.
pub(super) fn jars() -> anyhow::Result<PathBuf> {
    tools::need("java", "default-jre-headless").map_err(anyhow::Error::msg)?;
    let scripts = ["kafka-server-start.sh", "kafka-server-start"];
    if let Some(jars) = scripts.into_iter().find_map(tools::path_of).and_then(|script| beside(&script)) {
        return Ok(jars);
    }
    fetched::once(&format!("kafka-{VERSION}"), fetch)
}

fn fetch(folder: &Path) -> anyhow::Result<()> {
    tools::need("mvn", "maven").map_err(anyhow::Error::msg)?;
    eprintln!("   fetching Kafka {VERSION} into {}", folder.display());
    std::fs::write(folder.join("pom.xml"), pom()).context("cannot write pom.xml")?;
    let mut maven = Command::new("mvn");
    maven.current_dir(folder).args(["-q", "-B", "dependency:copy-dependencies", "-DincludeScope=runtime"]);
    let status = maven.arg("-DoutputDirectory=.").status().context("cannot run mvn")?;
    ensure!(
        status.success(),
        "mvn ended with {status}: Kafka {VERSION} could not be fetched from Maven Central"
    );
    Ok(())
}

/// The jars that belong to a script of Kafka's.
fn beside(script: &Path) -> Option<PathBuf> {
    let jars = script.canonicalize().ok()?.parent()?.parent()?.join("libs");
    jars.is_dir().then_some(jars)
}

fn pom() -> String {
    let dependency = |group: &str, artifact: &str, version: &str| {
        format!(
            "<dependency><groupId>{group}</groupId><artifactId>{artifact}</artifactId>\
             <version>{version}</version></dependency>"
        )
    };
    format!(
        "<project xmlns=\"http://maven.apache.org/POM/4.0.0\"><modelVersion>4.0.0</modelVersion>\
         <groupId>tidegate</groupId><artifactId>kafka</artifactId><version>1</version><dependencies>{}{}\
         </dependencies></project>",
        dependency("org.apache.kafka", "kafka_2.13", VERSION),
        // Without a backend of its log it would say nothing.
        dependency("org.slf4j", "slf4j-simple", "1.7.36"),
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_jars_of_an_installed_kafka_lie_beside_its_scripts() {
        let folder = std::env::temp_dir().join(format!("tidegate-kafka-{}", std::process::id()));
        let (bin, libs, link) = (folder.join("kafka/bin"), folder.join("kafka/libs"), folder.join("script"));
        std::fs::create_dir_all(&bin).expect("a folder");
        std::fs::write(bin.join("kafka-server-start.sh"), "").expect("a file");
        std::os::unix::fs::symlink(bin.join("kafka-server-start.sh"), &link).expect("a link");
        assert_eq!(beside(&link), None, "no jars, no Kafka");
        std::fs::create_dir(&libs).expect("a folder");
        assert_eq!(beside(&link), Some(libs.canonicalize().expect("it is there")));
        std::fs::remove_dir_all(&folder).expect("they are gone");
    }
}
