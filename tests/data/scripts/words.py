import sys

from sklearn.datasets import load_diabetes
from sklearn.linear_model import ElasticNet
from sklearn.metrics import mean_absolute_error, r2_score
from sklearn.model_selection import train_test_split

if __name__ == "__main__":
    x, y = load_diabetes(return_X_y=True)
    x_train, x_test, y_train, y_test = train_test_split(x, y, random_state=1)
    alpha = float(sys.argv[1]) if len(sys.argv) > 1 else 0.5
    l1_ratio = float(sys.argv[2]) if len(sys.argv) > 2 else 0.5
    model = ElasticNet(alpha=alpha, l1_ratio=l1_ratio).fit(x_train, y_train)
    predicted = model.predict(x_test)
    print("Elasticnet model (alpha={:f}, l1_ratio={:f}):".format(alpha, l1_ratio))
    print("  MAE: %s" % mean_absolute_error(y_test, predicted))
    print("  R2: %s" % r2_score(y_test, predicted))
