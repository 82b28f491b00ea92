"""What the template makes of the buckets."""

import shutil
import subprocess
from typing import Any

import pytest
from helpers.rendered import INFRA

from sortline.core.params import read_yaml

TEMPLATE = read_yaml(INFRA / "aws" / "storage.yaml")
BUCKETS = {
    name: each["Properties"]
    for name, each in TEMPLATE["Resources"].items()
    if each["Type"] == "AWS::S3::Bucket"
}


@pytest.mark.slow  # It reads the schema of every kind of resource.
def test_cloudformation_finds_nothing_to_say() -> None:
    if shutil.which("cfn-lint") is None:
        pytest.skip("cfn-lint is not installed here")
    files = [str(INFRA / "aws" / name) for name in ("storage.yaml", "roles.yaml")]
    done = subprocess.run(["cfn-lint", *files], capture_output=True, text=True, check=False)
    assert (done.returncode, done.stdout) == (0, "")


@pytest.mark.parametrize("name", ["Data", "Cache", "Models", "Log"])
def test_every_bucket_is_versioned_encrypted_private_and_outlives_its_stack(name: str) -> None:
    bucket, resource = BUCKETS[name], TEMPLATE["Resources"][name]
    assert bucket["VersioningConfiguration"] == {"Status": "Enabled"}
    (rule,) = bucket["BucketEncryption"]["ServerSideEncryptionConfiguration"]
    assert rule["ServerSideEncryptionByDefault"] == {"SSEAlgorithm": "AES256"}
    assert set(bucket["PublicAccessBlockConfiguration"].values()) == {True}
    assert len(bucket["PublicAccessBlockConfiguration"]) == 4
    assert bucket["OwnershipControls"] == {"Rules": [{"ObjectOwnership": "BucketOwnerEnforced"}]}
    assert resource["DeletionPolicy"] == resource["UpdateReplacePolicy"] == "Retain"


@pytest.mark.parametrize("name", ["Data", "Cache", "Models", "Log"])
def test_every_bucket_forgets_what_nobody_can_use(name: str) -> None:
    rules: list[dict[str, Any]] = BUCKETS[name]["LifecycleConfiguration"]["Rules"]
    assert all(rule["Status"] == "Enabled" for rule in rules)
    assert any("NoncurrentVersionExpiration" in rule for rule in rules)
    assert any("AbortIncompleteMultipartUpload" in rule for rule in rules)
    whole = [rule for rule in rules if "ExpirationInDays" in rule and "Prefix" not in rule]
    assert not whole, "what is in use would be removed"


def test_releases_are_locked_for_less_time_than_pruned_ones_are_kept() -> None:
    retention = BUCKETS["Models"]["ObjectLockConfiguration"]["Rule"]["DefaultRetention"]
    assert retention == {"Mode": "GOVERNANCE", "Days": {"Ref": "RetentionDays"}}
    assert BUCKETS["Models"]["ObjectLockEnabled"] is True
    pruned = BUCKETS["Models"]["LifecycleConfiguration"]["Rules"][0]
    assert pruned["NoncurrentVersionExpiration"] == {"NoncurrentDays": {"Ref": "PruningDays"}}
    parameters = TEMPLATE["Parameters"]
    assert parameters["RetentionDays"]["Default"] < parameters["PruningDays"]["Default"]


def test_nothing_in_a_bucket_of_releases_expires_while_it_is_current() -> None:
    rules = BUCKETS["Models"]["LifecycleConfiguration"]["Rules"]
    assert not [rule for rule in rules if "ExpirationInDays" in rule or "ExpirationDate" in rule]


def test_the_log_of_predictions_is_forgotten() -> None:
    (rule, _) = BUCKETS["Log"]["LifecycleConfiguration"]["Rules"]
    assert (rule["Prefix"], rule["ExpirationInDays"]) == ("predictions/", {"Ref": "LogDays"})
