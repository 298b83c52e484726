// Package ssm is a stand-in for the Systems Manager client, for the reasons of package ec2.
package ssm

import (
	"context"
	"errors"

	"github.com/aws/aws-sdk-go-v2/service/ssm/types"
)

// Client has no connection.
type Client struct{}

// DescribeInstanceInformationInput has the field that Traefik sets.
type DescribeInstanceInformationInput struct {
	Filters []types.InstanceInformationStringFilter
}

// DescribeInstanceInformationOutput has the field that Traefik reads.
type DescribeInstanceInformationOutput struct {
	InstanceInformationList []types.InstanceInformation
}

// DescribeInstanceInformationPaginator has no pages.
type DescribeInstanceInformationPaginator struct{}

// NewFromConfig ignores its argument.
func NewFromConfig(any) *Client { return &Client{} }

// NewDescribeInstanceInformationPaginator ignores its arguments.
func NewDescribeInstanceInformationPaginator(
	*Client, *DescribeInstanceInformationInput,
) *DescribeInstanceInformationPaginator {
	return &DescribeInstanceInformationPaginator{}
}

// HasMorePages returns false.
func (*DescribeInstanceInformationPaginator) HasMorePages() bool { return false }

// NextPage returns an error.
func (*DescribeInstanceInformationPaginator) NextPage(context.Context) (*DescribeInstanceInformationOutput, error) {
	return nil, errors.New("this Traefik was built without Systems Manager")
}
