// Package ec2 is a stand-in for the EC2 client: no test runs on AWS, and the real one is a seventh of all code that
// Traefik is built from. It declares what Traefik's ECS provider refers to.
package ec2

import (
	"context"
	"errors"

	"github.com/aws/aws-sdk-go-v2/service/ec2/types"
)

// Client has no connection.
type Client struct{}

// DescribeInstancesInput has the field that Traefik sets.
type DescribeInstancesInput struct{ InstanceIds []string }

// DescribeInstancesOutput has the field that Traefik reads.
type DescribeInstancesOutput struct{ Reservations []types.Reservation }

// DescribeInstancesPaginator has no pages.
type DescribeInstancesPaginator struct{}

// NewFromConfig ignores its argument.
func NewFromConfig(any) *Client { return &Client{} }

// NewDescribeInstancesPaginator ignores its arguments.
func NewDescribeInstancesPaginator(*Client, *DescribeInstancesInput) *DescribeInstancesPaginator {
	return &DescribeInstancesPaginator{}
}

// HasMorePages returns false.
func (*DescribeInstancesPaginator) HasMorePages() bool { return false }

// NextPage returns an error.
func (*DescribeInstancesPaginator) NextPage(context.Context) (*DescribeInstancesOutput, error) {
	return nil, errors.New("this Traefik was built without EC2")
}
