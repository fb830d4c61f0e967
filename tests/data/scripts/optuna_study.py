import optuna
from sklearn.datasets import load_iris
from sklearn.ensemble import RandomForestClassifier
from sklearn.model_selection import cross_val_score
from sklearn.svm import SVC


def objective(trial):
    x, y = load_iris(return_X_y=True)
    classifier_name = trial.suggest_categorical("classifier", ["SVC", "RandomForest"])
    if classifier_name == "SVC":
        svc_c = trial.suggest_float("svc_c", 1e-4, 1e4, log=True)
        classifier = SVC(C=svc_c, gamma="auto")
    else:
        rf_max_depth = trial.suggest_int("rf_max_depth", 2, 32, log=True)
        classifier = RandomForestClassifier(max_depth=rf_max_depth, n_estimators=5)
    for fold in range(2):
        trial.report(0.1 * fold, fold)
        if trial.should_prune():
            raise optuna.TrialPruned()
    return cross_val_score(classifier, x, y, n_jobs=1, cv=3).mean()


if __name__ == "__main__":
    study = optuna.create_study(direction="maximize")
    study.optimize(objective, n_trials=100, timeout=600)
    print("Best trial:", study.best_trial.params, study.best_value)
