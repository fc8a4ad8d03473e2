// Command etcd is etcd as published, for tests.
package main

import (
	"os"

	"go.etcd.io/etcd/server/v3/etcdmain"

	"konductor.io/tests/cluster/internal/parent"
)

func main() {
	parent.Watch()
	etcdmain.Main(os.Args)
}
