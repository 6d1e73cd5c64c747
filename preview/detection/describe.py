"""A start plan as JSON, for the API and ``preview detect --json``: no secret's value is in it."""

from __future__ import annotations

from preview.detection.plan import Origin, ServiceNeed, StartPlan, Step, Variable


def describe_plan(plan: StartPlan) -> dict[str, object]:
    """All of the plan, in the contract's snake_case."""
    return {
        "framework": plan.framework,
        "toolchain": str(plan.toolchain),
        "server": str(plan.server),
        "app": str(plan.target) if plan.target is not None and plan.framework != "command" else None,
        "app_dir": plan.target.app_dir if plan.target is not None else None,
        "factory": plan.target.factory if plan.target is not None else False,
        "file": plan.target.file if plan.target is not None else None,
        "directory": plan.directory,
        "python_path": list(plan.python_path),
        "command": list(plan.command),
        "manifests": plan.manifests,
        "extra_requirements": list(plan.extra_requirements),
        "steps": [_step(step) for step in plan.steps],
        "variables": [_variable(variable) for variable in plan.variables.values()],
        "services": [_service(need) for need in plan.services],
        "health_path": plan.health_path,
        "decisions": list(plan.decisions),
        "warnings": list(plan.warnings),
    }


def shown_value(variable: Variable) -> str | None:
    """A variable's value, or None where it is a secret."""
    hidden = variable.secret or "{secret}" in variable.value
    return None if hidden or variable.origin in {Origin.REQUEST, Origin.PROJECT} else variable.value


def _step(step: Step) -> dict[str, object]:
    return {
        "name": step.name,
        "command": list(step.argv),
        "directory": step.directory,
        "why": step.why,
        "required": step.required,
    }


def _variable(variable: Variable) -> dict[str, object]:
    return {
        "name": variable.name,
        "value": shown_value(variable),
        "origin": str(variable.origin),
        "where": variable.where,
        "secret": variable.secret,
    }


def _service(need: ServiceNeed) -> dict[str, object]:
    return {
        "kind": str(need.kind),
        "setting": need.setting,
        "where": need.where,
        "at_startup": need.at_startup,
        "address": None if need.address is None else f"{need.address[0]}:{need.address[1]}",
    }
