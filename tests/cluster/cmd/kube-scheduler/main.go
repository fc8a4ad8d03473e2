// Command kube-scheduler is the scheduler as published, for tests.
package main

import (
	"os"

	"k8s.io/component-base/cli"
	_ "k8s.io/component-base/logs/json/register"
	_ "k8s.io/component-base/metrics/prometheus/clientgo"
	_ "k8s.io/component-base/metrics/prometheus/version"
	"k8s.io/kubernetes/cmd/kube-scheduler/app"

	"konductor.io/tests/cluster/internal/parent"
)

func main() {
	parent.Watch()
	os.Exit(cli.Run(app.NewSchedulerCommand()))
}
