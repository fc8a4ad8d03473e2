//! Plays the parts of a cluster that turn Jobs into work: the CronJob controller, the Job controller
//! and the kubelet.
//!
//! An API server enters; from then on its CronJobs get Jobs, its Jobs get pods and its pods get
//! processes. Each part can be started alone: a simulation runs the controllers with a kubelet of its
//! own.

#[cfg(test)]
mod bench;
mod cluster;
pub mod cron_job;
pub mod job;
pub mod kubelet;
#[cfg(test)]
mod tests;

use std::io;
use std::time::Duration;

use crate::ApiServer;
use cron_job::CronJobController;
use job::{BackOff, JobController};
use kubelet::{Kubelet, KubeletOptions, Logs};

/// What a runner needs to know.
#[derive(Clone, Debug)]
pub struct RunnerOptions {
    /// How pods become processes.
    pub kubelet: KubeletOptions,
    /// How long a Job waits before it replaces a failed pod.
    pub back_off: BackOff,
}

/// Both controllers and a kubelet.
#[derive(Debug)]
pub struct Runner {
    cron: CronJobController,
    controller: JobController,
    kubelet: Kubelet,
}

impl Runner {
    /// Starts to run the CronJobs and Jobs of `api`.
    ///
    /// # Errors
    /// If the folder of the kubelet can't be made.
    pub fn start(api: &ApiServer, options: RunnerOptions) -> io::Result<Self> {
        let kubelet = Kubelet::start(api, options.kubelet)?;
        Ok(Self {
            cron: CronJobController::start(api),
            controller: JobController::start(api, options.back_off),
            kubelet,
        })
    }

    /// The logs of the containers it runs.
    pub fn logs(&self) -> &Logs {
        self.kubelet.logs()
    }

    /// Starts no more pods, ends all processes and waits until they are gone; those that take
    /// longer than `grace` are killed.
    pub async fn shutdown(self, grace: Duration) {
        // The controllers first: they would replace the pods that end now.
        self.cron.shutdown().await;
        self.controller.shutdown().await;
        self.kubelet.shutdown(grace).await;
    }
}
