// Package types declares what Traefik reads of an instance.
package types

// Reservation is a group of instances.
type Reservation struct{ Instances []Instance }

// Instance has the fields that Traefik reads.
type Instance struct {
	InstanceId       *string
	PrivateIpAddress *string
	State            *InstanceState
}

// InstanceState is the state of an Instance.
type InstanceState struct{ Name InstanceStateName }

// InstanceStateName names a state.
type InstanceStateName string

// InstanceStateNameRunning is the only state that Traefik compares with.
const InstanceStateNameRunning InstanceStateName = "running"
