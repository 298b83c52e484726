// Package types declares what Traefik sets in a filter and reads of an instance.
package types

// InstanceInformationStringFilter has the fields that Traefik sets.
type InstanceInformationStringFilter struct {
	Key    *string
	Values []string
}

// InstanceInformation has the fields that Traefik reads.
type InstanceInformation struct {
	InstanceId *string
	IPAddress  *string
}
