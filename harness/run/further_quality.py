"""Quality on the data sets of a run beside the first one, from which no frames are timed."""

from __future__ import annotations

from collections.abc import Iterator

from harness.results import Measurement
from harness.run.datasets import LabelledDataset
from harness.run.plan import Plan, PlannedSubmission
from harness.run.quality_pass import QualityPass


def missing_datasets(plan: Plan, measurement: Measurement) -> list[LabelledDataset]:
    """Return the further data sets of a run on which a submission has no figures yet."""
    # By fingerprint, not by label: a later run may give the same images another label.
    return [one for one in plan.further if one.dataset.fingerprint not in measurement.further_images]


def further_passes(
    plan: Plan, planned: PlannedSubmission, measurement: Measurement
) -> Iterator[tuple[str, QualityPass]]:
    """Yield label and quality pass of each data set that a measurement lacks."""
    convention, conventions = plan.track.convention, plan.request.conventions
    for one in missing_datasets(plan, measurement):
        outputs = plan.outputs_of(planned, one.label)
        yield one.label, QualityPass(one.dataset, planned.submission.slug, convention, conventions, None, outputs)


def labelled(plan: Plan, measurement: Measurement) -> Measurement:
    """Return a measurement whose images are those of all data sets of a run, each with its data set's label."""
    if not plan.further:
        # A single data set: names need no label in front.
        images = [image.model_copy(update={"dataset": plan.label}) for image in measurement.images]
        return measurement.model_copy(update={"images": images})
    by_fingerprint = {plan.dataset.fingerprint: measurement.images, **measurement.further_images}
    images = [
        # Images of several data sets may have equal names, and figures are related by the name of the image.
        image.model_copy(update={"image": f"{one.label}/{image.image}", "dataset": one.label})
        for one in plan.datasets
        for image in by_fingerprint.get(one.dataset.fingerprint, [])
    ]
    return measurement.model_copy(update={"images": images})
